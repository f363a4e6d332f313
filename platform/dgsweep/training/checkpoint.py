"""Checkpoints: written beside and renamed, so that a killed run always finds a whole one; never a foreign pickle."""

import io
import logging
import os
import socket
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, BinaryIO

import psutil
import torch

from dgsweep.errors import CaseError
from dgsweep.storage.files import exists, read_bytes, remove_file, sync_folder, write_bytes
from dgsweep.storage.place import AnyPath

LAST = "last.pt"
BEFORE_LAST = "before_last.pt"
FINAL = "final.pt"
LEFTOVER_S = 3600.0
"""A half-written file of another node that is older than this is nobody's any more."""
_LOG = logging.getLogger(__name__)


class CutCheckpointError(CaseError):
    """A checkpoint of ours is not whole: a disk lost what was written."""


def save_checkpoint(state: dict[str, Any], path: AnyPath) -> None:
    """Write tensors, numbers and strings to `path` atomically: temporary file, fsync, rename; or one put.

    Raises:
        OSError: the disk is full or cannot be written; nothing is left of the attempt.
    """
    if not isinstance(path, Path):
        content = io.BytesIO()
        torch.save(state, content)
        write_bytes(path, content.getvalue())
        return
    _written(state, path).replace(path)
    sync_folder(path.parent)


def save_last(state: dict[str, Any], folder: AnyPath) -> None:
    """Write the checkpoint from which the training can go on, and keep the one before it for `load_last`.

    An object store loses nothing of what it took, so there the one before is not kept.
    """
    if not isinstance(folder, Path):
        save_checkpoint(state, folder / LAST)
        return
    temporary = _written(state, folder / LAST)
    if (folder / LAST).exists():
        (folder / LAST).replace(folder / BEFORE_LAST)
    temporary.replace(folder / LAST)
    sync_folder(folder)


def load_last(folder: AnyPath, device: torch.device) -> dict[str, Any] | None:
    """The newest whole checkpoint from which the training can go on; None when there is none.

    Raises:
        CaseError: a file holds objects that are not loaded.
    """
    for path in (folder / LAST, folder / BEFORE_LAST):
        try:
            found = load_checkpoint(path, device)
        except CutCheckpointError as error:
            _LOG.warning("%s; the training goes on from the checkpoint before it, or begins again", error)
            continue
        if found is not None:
            return found
    return None


def remove_last(folder: AnyPath) -> None:
    """Remove what a finished training does not need any more."""
    for name in (LAST, BEFORE_LAST):
        remove_file(folder / name)


def _written(state: dict[str, Any], path: Path) -> Path:
    """The state in a temporary file beside `path`, on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(path)
    temporary = path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}")
    with ExitStack() as undo:
        undo.callback(temporary.unlink, missing_ok=True)  # on a full disk it would keep everybody else from writing
        with temporary.open("wb") as stream:
            _serialise(state, stream)
            stream.flush()
            os.fsync(stream.fileno())
        undo.pop_all()
    return temporary


def _remove_leftovers(path: Path) -> None:
    """Remove what killed runs left half-written, not what a worker that was given up too early writes just now."""
    for stale in path.parent.glob(f".{path.name}.*"):
        host, _, pid = stale.name.removeprefix(f".{path.name}.").rpartition(".")
        ours = host == socket.gethostname() and pid.isdecimal()
        with suppress(FileNotFoundError):
            if (not psutil.pid_exists(int(pid))) if ours else time.time() - stale.stat().st_mtime > LEFTOVER_S:
                stale.unlink()


def _serialise(state: dict[str, Any], stream: BinaryIO) -> None:
    try:
        torch.save(state, stream)
    except RuntimeError as error:  # torch speaks of a container and hides that the disk is full
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise


def load_checkpoint(path: AnyPath, device: torch.device) -> dict[str, Any] | None:
    """The state at `path`, or None when there is none.

    Raises:
        CaseError: the file is no checkpoint of ours (damaged, or it holds objects that are not loaded).
    """
    if not exists(path):
        return None
    try:
        source = path if isinstance(path, Path) else io.BytesIO(read_bytes(path))
        state: dict[str, Any] = torch.load(source, map_location=device, weights_only=True)
    except (UnpicklingError, RuntimeError, EOFError, ValueError, OSError, KeyError) as error:
        foreign = isinstance(error, UnpicklingError)
        cause = "it holds more than tensors and numbers, or no checkpoint at all"  # torch's text advises an unsafe load
        cause = cause if foreign else str(error)
        raise (CaseError if foreign else CutCheckpointError)(
            f"{path.name} of trial {path.parent.parent.name} is damaged ({cause}); delete it to train again"
        ) from error
    return state


def check_network(saved: Mapping[str, Any], path: AnyPath, wanted: Mapping[str, Any]) -> None:
    """Refuse the weights of another backbone before they are loaded; `wanted` and saved are name and options.

    Raises:
        CaseError: what the file holds, what the trial needs, and the valid choices.
    """
    found = saved.get("network", wanted)
    if found != wanted:
        raise CaseError(
            f"{path.name} of trial {path.parent.parent.name} holds weights of {_described(found)}, but the trial is "
            f"planned with {_described(wanted)}; plan that network, or delete the file to train again"
        )


def _described(network: Mapping[str, Any]) -> str:
    options = ", ".join(f"{key} {value}" for key, value in network["options"].items())
    return f"{network['name']} ({options})" if options else str(network["name"])
