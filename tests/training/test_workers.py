"""Two real processes train one model together."""

import faulthandler
import multiprocessing
import os
import socket
from pathlib import Path

import pytest
import torch
from training_stand_in import make_spec, make_task, weights_of

from dgsweep.training.loop import train
from dgsweep.training.runtime import Runtime

PATIENCE_S = 240
METHODS = ("erm", "two_views", "scaling")


def _worker(rank: int, port: int, folder: str) -> None:
    faulthandler.dump_traceback_later(PATIENCE_S, exit=True)  # a worker that waits for the other says where
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    found = {method: _trained(rank, Path(folder) / method, method) for method in METHODS}
    torch.save(found, Path(folder) / f"rank{rank}.pt")
    torch.distributed.barrier()
    os._exit(0)  # gloo's threads race with the end of the interpreter, which is not what is tested here


def _trained(rank: int, folder: Path, method: str) -> dict:
    reports: list[int] = []
    runtime = Runtime(
        device=torch.device("cpu"), rank=rank, world_size=2, report=lambda row: reports.append(int(row["step"]))
    )
    training = train(make_task(make_spec(method), folder, runtime))
    return {
        "weights": weights_of(training),
        "modules": [value.detach() for value in training.ctx.modules.parameters()],
        "reports": reports,
        "scores": training.curves.values("val", "all", "dice"),
    }


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> tuple[Path, list[dict]]:
    """Folder of all trainings, a folder a method, and what each of two workers holds at their ends."""
    folder = tmp_path_factory.mktemp("two")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_worker, args=(rank, port, str(folder))) for rank in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
    return folder, [torch.load(folder / f"rank{rank}.pt", weights_only=True) for rank in range(2)]


@pytest.mark.parametrize("method", METHODS)
def test_two_workers_hold_equal_weights_and_report_at_the_same_steps(two, tmp_path, method):
    folder, (first, second) = two[0] / method, (found[method] for found in two[1])
    assert torch.equal(first["weights"], second["weights"])
    assert len(first["modules"]) == (2 if method == "scaling" else 0)
    assert all(torch.equal(*pair) for pair in zip(first["modules"], second["modules"], strict=True))
    assert first["reports"] == second["reports"] == [2, 3, 4, 6]
    assert first["scores"] == second["scores"]
    assert (folder / "t" / "checkpoint" / "final.pt").exists()
    alone = train(make_task(make_spec(method), tmp_path / "alone"))
    assert torch.isfinite(first["weights"]).all()
    assert not torch.equal(first["weights"], torch.zeros_like(first["weights"]))
    if method == "erm":  # the batch is the same, so the mean gradient is nearly that of one worker
        torch.testing.assert_close(first["weights"], weights_of(alone), rtol=0.1, atol=0.02)
