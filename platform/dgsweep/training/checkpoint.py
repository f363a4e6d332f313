"""Checkpoints: written beside and renamed, so that a killed run always finds a whole one; never a foreign pickle."""

import io
import os
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from dgsweep.errors import CaseError
from dgsweep.storage.files import exists, read_bytes, write_bytes
from dgsweep.storage.place import AnyPath

LAST = "last.pt"
FINAL = "final.pt"


def save_checkpoint(state: dict[str, Any], path: AnyPath) -> None:
    """Write tensors, numbers and strings to `path` atomically: temporary file, fsync, rename; or one put."""
    if not isinstance(path, Path):
        content = io.BytesIO()
        torch.save(state, content)
        write_bytes(path, content.getvalue())
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    for stale in path.parent.glob(f".{path.name}.*"):  # left by a run that was killed; only one run writes here
        stale.unlink(missing_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("wb") as stream:
        torch.save(state, stream)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)


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
        cause = "it holds more than tensors and numbers, or no checkpoint at all"  # torch's text advises an unsafe load
        cause = cause if isinstance(error, UnpicklingError) else str(error)
        raise CaseError(
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
