"""Disks that are really full (a small mount): what is there stays, the cause is told, and with room it goes on."""

import errno
import subprocess
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
from execution_stand_in import make_config, make_manifest, make_plan, make_run, make_spec, quiet, read_diary
from fault_sweep import FaultSweep

from dgsweep.errors import TrialFailedError
from dgsweep.execution.job import TrialJob, WorkerLink
from dgsweep.execution.sweep import run_sweep
from dgsweep.execution.worker import run_trial
from dgsweep.records.ledger import Ledger
from dgsweep.training.checkpoint import load_last, save_last

Mount = Callable[[int], Path]
CPU = torch.device("cpu")


def fill(folder: Path) -> Path:
    """Take every byte that is left."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as stream:
        for size in (4096, 1):
            try:
                while True:
                    stream.write(b"x" * size)
            except OSError:
                continue
    return filler


def test_a_checkpoint_that_does_not_fit_leaves_the_one_before_and_no_rest(small_disk: Mount) -> None:
    folder = small_disk(256) / "trial" / "checkpoint"
    save_last({"step": 1}, folder)
    with pytest.raises(OSError, match="No space left") as full:
        save_last({"step": 2, "weights": torch.zeros(100_000)}, folder)
    assert full.value.errno == errno.ENOSPC
    assert [path.name for path in folder.iterdir()] == ["last.pt"]
    assert load_last(folder, CPU) == {"step": 1}
    save_last({"step": 3}, folder)
    assert load_last(folder, CPU) == {"step": 3}


def test_a_failure_that_cannot_be_written_down_is_told_by_the_error(small_disk: Mount) -> None:
    disk = small_disk(256)
    spec = make_spec("one")
    Ledger(disk / "out").begin(spec)
    fill(disk)
    job = TrialJob(spec=spec.to_json(), output=disk / "out", cache=disk / "cache", cases={}, threads=1, device="cpu")
    with pytest.raises(TrialFailedError, match=r"the disk is full .*; make room and run the sweep again"):
        run_trial(job, WorkerLink(rank=0, world_size=1, report=lambda _: None))
    assert Ledger(disk / "out").failure("one") == {}


def test_a_full_ledger_ends_neither_the_sweep_nor_what_is_finished(small_disk: Mount, tmp_path: Path) -> None:
    disk, plan = small_disk(512), make_plan(make_spec("one"), make_spec("two"))
    config = make_config(tmp_path, min_free_gib=0).model_copy(update={"output": str(disk / "out")})
    behind = make_run(tmp_path / "diary")
    filler: list[Path] = []

    def run(job: TrialJob, link: WorkerLink) -> None:
        if job.spec["trial_id"] == "two" and not filler:
            filler.append(fill(disk))
            run_trial(job, link)
        behind(job, link)

    def sweep():
        return run_sweep(config, plan, make_manifest(tmp_path), executor="inline", console=quiet(), run=run)

    outcome = sweep()
    assert (outcome.done, outcome.exit_code) == (1, 1)
    assert "the disk is full" in outcome.failed[0].cause
    filler[0].unlink()
    again = sweep()
    assert (again.reused, again.done, again.exit_code) == (1, 1, 0)
    assert list(read_diary(tmp_path / "diary")) == ["one.0.0", "two.0.0"]


def test_a_cache_that_fills_up_fails_the_trial_with_where_and_what_to_do(
    small_disk: Mount, tmp_path: Path, manifest: Path
) -> None:
    """The check before the first trial passed: something else took the room since."""
    disk = small_disk(1024)
    sweep = FaultSweep(folder=tmp_path, manifest=manifest, seeds=1, steps=4, pause_s=0)
    fill(disk)
    sweep.changes = {"data": {**sweep.content()["data"], "cache": str(disk / "cache")}}
    sweep.write()
    assert sweep.run("--executor", "inline") == 2
    assert "the disk is too small" in sweep.log()
    assert "data.cache" in sweep.log()


@pytest.mark.slow
def test_a_sweep_on_a_full_disk_goes_on_from_its_checkpoint_with_room(
    small_disk: Mount, tmp_path: Path, manifest: Path, undisturbed: pd.DataFrame
) -> None:
    disk = small_disk(20_000)
    sweep = FaultSweep(folder=tmp_path, manifest=manifest, changes={"output": str(disk / "out")})
    driver = sweep.start("--executor", "inline")
    while len(sweep.logged_steps()) < 20 and driver.poll() is None:
        pass
    filler = fill(disk)
    assert driver.wait(300) == 1
    assert "the disk is full" in sweep.log()
    assert "Traceback" not in sweep.log()
    reached = max(steps[-1][-1] for steps in sweep.attempts().values())
    filler.unlink()
    subprocess.run(["sync"], check=True)
    assert sweep.run("--executor", "inline") == 0
    pd.testing.assert_frame_equal(sweep.table(), undisturbed)
    assert sweep.attempts()[0][1][0] > 0, "it began anew"
    assert max(sweep.repeated()) <= 5, reached
