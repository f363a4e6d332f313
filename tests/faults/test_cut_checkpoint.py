"""A checkpoint that a disk lost half of: the one before it takes its place, and the numbers stay."""

import os
import pickle
from pathlib import Path

import pandas as pd
import pytest
import torch
from fault_sweep import FaultSweep

from dgsweep.errors import CaseError
from dgsweep.training.checkpoint import BEFORE_LAST, LAST, load_last, remove_last, save_last

CPU = torch.device("cpu")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def saved(folder: Path, *steps: int) -> Path:
    for step in steps:
        save_last({"step": step, "weights": torch.ones(50)}, folder)
    return folder


def step_of(folder: Path) -> int | None:
    found = load_last(folder, CPU)
    return found["step"] if found else None


def test_the_checkpoint_before_a_cut_one_is_taken(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = saved(tmp_path / "trial-7" / "checkpoint", 1, 2, 3)
    assert step_of(folder) == 3
    cut(folder / LAST)
    assert step_of(folder) == 2
    assert "last.pt of trial trial-7 is damaged" in caplog.text
    save_last({"step": 3}, folder)
    assert step_of(folder) == 3


def test_with_both_cut_the_training_begins_again(tmp_path: Path) -> None:
    folder = saved(tmp_path / "checkpoint", 1, 2)
    cut(folder / LAST)
    cut(folder / BEFORE_LAST)
    assert step_of(folder) is None


def test_a_kill_between_the_two_renames_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, rename = saved(tmp_path / "checkpoint", 1, 2), Path.replace

    def dies(path: Path, target: Path) -> Path:
        if path.name.startswith("."):
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr(Path, "replace", dies)
    with pytest.raises(KeyboardInterrupt):
        saved(folder, 3)
    monkeypatch.undo()
    assert not (folder / LAST).exists()
    assert step_of(folder) == 2
    saved(folder, 3, 4)
    assert step_of(folder) == 4


def test_code_in_the_last_checkpoint_is_refused_and_not_passed_over(tmp_path: Path) -> None:
    folder = saved(tmp_path / "checkpoint", 1, 2)
    (folder / LAST).write_bytes(pickle.dumps(os.getcwd))
    with pytest.raises(CaseError, match="more than tensors"):
        load_last(folder, CPU)


def test_a_finished_training_keeps_neither(tmp_path: Path) -> None:
    folder = saved(tmp_path / "checkpoint", 1, 2)
    remove_last(folder)
    assert list(folder.iterdir()) == []


@pytest.mark.slow
def test_a_sweep_whose_checkpoint_was_cut_gives_the_same_numbers(
    tmp_path: Path, manifest: Path, undisturbed: pd.DataFrame
) -> None:
    sweep = FaultSweep(folder=tmp_path, manifest=manifest)
    driver = sweep.start("--executor", "inline")
    while len(sweep.logged_steps()) < 22 and driver.poll() is None:
        pass
    driver.kill()
    driver.wait()
    (checkpoint,) = sweep.output.glob("trials/*/checkpoint/last.pt")
    cut(checkpoint)
    assert sweep.run("--executor", "inline") == 0, sweep.log()
    assert "is damaged" in sweep.log()
    pd.testing.assert_frame_equal(sweep.table(), undisturbed, check_exact=True)
    assert 5 < max(sweep.repeated()) <= 10, "one interval for the kill and one for the cut"
