"""Checkpoints: whole or not there, damaged ones named, nothing executed."""

import multiprocessing
import os
import pickle
from pathlib import Path

import pytest
import torch

from dgsweep.errors import CaseError
from dgsweep.training.checkpoint import load_checkpoint, save_checkpoint

CPU = torch.device("cpu")


class Payload:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def path_in(folder: Path) -> Path:
    return folder / "trial-7" / "checkpoint" / "last.pt"


def test_what_is_saved_is_loaded(tmp_path):
    state = {"weight": torch.arange(4.0), "nested": {"step": 3, "name": "a", "list": [1.5, None]}}
    save_checkpoint(state, path_in(tmp_path))
    loaded = load_checkpoint(path_in(tmp_path), CPU)
    assert torch.equal(loaded["weight"], state["weight"])
    assert loaded["nested"] == state["nested"]


def test_a_file_that_is_not_there_is_none(tmp_path):
    assert load_checkpoint(path_in(tmp_path), CPU) is None


@pytest.mark.parametrize("kept", [0, 1, 10, 200, 0.5, 0.95])
def test_a_truncated_file_is_named_with_its_trial_and_what_to_do(tmp_path, kept):
    path = path_in(tmp_path)
    save_checkpoint({"weight": torch.randn(500)}, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: kept if isinstance(kept, int) else int(len(whole) * kept)])
    with pytest.raises(CaseError, match=r"last.pt of trial trial-7 is damaged .*; delete it to train again"):
        load_checkpoint(path, CPU)


@pytest.mark.parametrize("content", [b"no checkpoint", b"PK\x03\x04 no zip", b"\x80\x02}q\x00."])
def test_a_file_of_another_kind_is_named(tmp_path, content):
    path_in(tmp_path).parent.mkdir(parents=True)
    path_in(tmp_path).write_bytes(content)
    with pytest.raises(CaseError, match="is damaged"):
        load_checkpoint(path_in(tmp_path), CPU)


@pytest.mark.parametrize("writer", ["torch", "pickle"])
def test_code_in_a_checkpoint_is_refused_and_not_executed(tmp_path, writer):
    path, made = path_in(tmp_path), tmp_path / "executed"
    path.parent.mkdir(parents=True)
    if writer == "torch":
        torch.save({"context": Payload(made)}, path)
    else:
        path.write_bytes(pickle.dumps(Payload(made)))
    with pytest.raises(CaseError, match="is damaged"):
        load_checkpoint(path, CPU)
    assert not made.exists()
    if writer == "torch":  # the control: an unsafe load does execute it
        torch.load(path, weights_only=False)
        assert made.exists()


def test_an_interrupted_save_leaves_the_old_checkpoint_whole(tmp_path, monkeypatch):
    save_checkpoint({"step": 1}, path_in(tmp_path))

    def half(state, stream):
        stream.write(b"half of it")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint({"step": 2}, path_in(tmp_path))
    assert load_checkpoint(path_in(tmp_path), CPU) == {"step": 1}


def _die_while_saving(path: Path) -> None:
    def half(state, stream):
        stream.write(b"half of it")
        stream.flush()
        os._exit(9)

    torch.save = half
    save_checkpoint({"step": 2}, path)


def test_a_process_killed_while_saving_leaves_the_old_checkpoint_whole_and_the_next_save_works(tmp_path):
    save_checkpoint({"step": 1}, path_in(tmp_path))
    process = multiprocessing.get_context("fork").Process(target=_die_while_saving, args=(path_in(tmp_path),))
    process.start()
    process.join(30)
    assert process.exitcode == 9
    assert load_checkpoint(path_in(tmp_path), CPU) == {"step": 1}
    save_checkpoint({"step": 3}, path_in(tmp_path))
    assert load_checkpoint(path_in(tmp_path), CPU) == {"step": 3}
    assert [path.name for path in path_in(tmp_path).parent.iterdir()] == ["last.pt"]
