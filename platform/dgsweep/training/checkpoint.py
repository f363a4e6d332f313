"""Checkpoints: written beside and renamed, so that a killed run always finds a whole one; never a foreign pickle."""

import errno
import logging
import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, BinaryIO

import psutil
import torch

from dgsweep.errors import CaseError

LAST = "last.pt"
BEFORE_LAST = "before_last.pt"
FINAL = "final.pt"
LEFTOVER_S = 3600.0
"""A half-written file of another node that is older than this is nobody's any more."""
_LOG = logging.getLogger(__name__)


class CutCheckpointError(CaseError):
    """A checkpoint of ours is not whole: a disk lost what was written."""


def save_checkpoint(state: dict[str, Any], path: Path) -> None:
    """Write tensors, numbers and strings to `path` atomically: temporary file, fsync, rename.

    Raises:
        OSError: the disk is full or cannot be written; nothing is left of the attempt.
    """
    _written(state, path).replace(path)
    _sync_folder(path.parent)


def save_last(state: dict[str, Any], folder: Path) -> None:
    """Write the checkpoint from which the training can go on, and keep the one before it for `load_last`."""
    temporary = _written(state, folder / LAST)
    if (folder / LAST).exists():
        (folder / LAST).replace(folder / BEFORE_LAST)
    temporary.replace(folder / LAST)
    _sync_folder(folder)


def load_last(folder: Path, device: torch.device) -> dict[str, Any] | None:
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


def remove_last(folder: Path) -> None:
    """Remove what a finished training does not need any more."""
    for name in (LAST, BEFORE_LAST):
        (folder / name).unlink(missing_ok=True)


def _written(state: dict[str, Any], path: Path) -> Path:
    """The state in a temporary file beside `path`, on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(path)
    temporary = path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}")
    try:
        with temporary.open("wb") as stream:
            _serialise(state, stream)
            stream.flush()
            os.fsync(stream.fileno())
    except (OSError, RuntimeError):
        temporary.unlink(missing_ok=True)  # on a full disk it would keep everybody else from writing
        raise
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


def _sync_folder(folder: Path) -> None:
    """Make a rename outlive a power cut, where the file system can."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def load_checkpoint(path: Path, device: torch.device) -> dict[str, Any] | None:
    """The state at `path`, or None when there is none.

    Raises:
        CaseError: the file is no checkpoint of ours (damaged, or it holds objects that are not loaded).
    """
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except (UnpicklingError, RuntimeError, EOFError, ValueError, OSError, KeyError) as error:
        foreign = isinstance(error, UnpicklingError)
        cause = "it holds more than tensors and numbers, or no checkpoint at all"  # torch's text advises an unsafe load
        cause = cause if foreign else str(error)
        raise (CaseError if foreign else CutCheckpointError)(
            f"{path.name} of trial {path.parent.parent.name} is damaged ({cause}); delete it to train again"
        ) from error
    return state


def check_network(saved: Mapping[str, Any], path: Path, wanted: Mapping[str, Any]) -> None:
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
