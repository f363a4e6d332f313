"""Every installed method on two real processes, each with its own batches: what one worker holds, the other holds."""

import faulthandler
import multiprocessing
import os
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from dgsweep.method.catalog import method_declarations
from dgsweep.method.conformance import STEPS, advance, make_method
from dgsweep.method.context import Context
from dgsweep.method.recipe import Recipe
from dgsweep.method.toy import PATCH, ToyNetwork, toy_batch
from dgsweep.training.runtime import Runtime

PATIENCE_S = 300
METHODS = sorted(name for name, declared in method_declarations().items() if declared.requires.trainable)


def _worker(rank: int, port: int, folder: str) -> None:
    faulthandler.dump_traceback_later(PATIENCE_S, exit=True)  # a worker that waits for the other says where
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    runtime = Runtime(device=torch.device("cpu"), rank=rank, world_size=2)
    found = {name: _trained(name, runtime) for name in METHODS}
    torch.save(found, Path(folder) / f"rank{rank}.pt")
    torch.distributed.barrier()
    os._exit(0)  # gloo's threads race with the end of the interpreter, which is not what is tested here


def _trained(name: str, runtime: Runtime) -> dict[str, Any]:
    method = make_method(method_declarations()[name])
    recipe = Recipe(budget_steps=STEPS, learning_rate=1e-2, momentum=0.9, schedule="constant", patch=PATCH)

    def build(seed: int) -> ToyNetwork:
        return ToyNetwork(method.in_channels(1), seed).train()

    trains = method_declarations()[name].requires.phase == "train"  # as assemble.py does
    workers = replace(runtime, wraps=trains)
    ctx = Context(build(0), method, recipe, n_domains=2, workers=workers, rebuild=build)
    advance(ctx, STEPS, lambda step: toy_batch(100 * runtime.rank + step))
    saved = ctx.state_dict()
    return {name: saved[name] for name in ("network", "modules", "optimizer", "state")}


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(value, other[key]) for key, value in one.items())
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(_same(*pair) for pair in zip(one, other, strict=True))
    return bool(one == other)


@pytest.fixture(scope="module")
def workers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    started = [context.Process(target=_worker, args=(rank, port, str(folder))) for rank in range(2)]
    for process in started:
        process.start()
    for process in started:
        process.join()
    assert [process.exitcode for process in started] == [0, 0]
    return [torch.load(folder / f"rank{rank}.pt", weights_only=True) for rank in range(2)]


@pytest.mark.parametrize("name", METHODS)
def test_two_workers_with_different_batches_end_with_equal_weights_and_state(workers, name):
    first, second = (found[name] for found in workers)
    for part in ("network", "modules", "optimizer", "state"):
        assert _same(first[part], second[part]), f"{part} differs between the workers"


def test_workers_trained_on_something(workers):
    untrained = ToyNetwork(1, 0).state_dict()
    assert not _same(workers[0]["erm"]["network"], untrained)
    assert not _same(workers[0]["erm"]["network"], workers[0]["gin"]["network"])
