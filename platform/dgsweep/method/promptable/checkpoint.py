"""Reading a checkpoint that somebody brought: nothing in it is executed, and whatever is wrong with it is said."""

import hashlib
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dgsweep.errors import Problems, WeightsError
from dgsweep.method.promptable.layout import UNUSED
from dgsweep.method.promptable.mapping import to_original

if TYPE_CHECKING:
    from torch import Tensor

_NESTS = ("model", "state_dict", "model_state_dict")
"""Keys under which training scripts and SAM 2's checkpoints keep the parameters."""
_PREFIXES = ("module.", "model.")
"""Wrappers of parallel training, outermost first or nested: `module.`, `model.module.`."""
_HEAD_BYTES = 512
_WEB_PAGE = (b"<!doctype html", b"<html", b"<?xml", b"<head")
_LFS_POINTER = b"version https://git-lfs"


def read_checkpoint(path: Path, family: str) -> tuple[dict[str, "Tensor"], str]:
    """Parameters of a checkpoint under their original names, on the CPU, and the layout that the file had.

    Reads `.pt` and `.pth` (with torch's restricted unpickler, which builds tensors and plain containers only) and
    `.safetensors`. The layout is `original` or `transformers`, with the wrapper that was taken off.

    Raises:
        WeightsError: the file is missing, cut off, no checkpoint, or holds code.
    """
    problems = Problems()
    _look(path, problems)
    problems.raise_if_any(WeightsError, "this file is no checkpoint")
    document = _load_safetensors(path) if path.suffix == ".safetensors" else _load_pickle(path)
    state, nest = _unnest(document)
    _only_tensors(state, path, problems)
    problems.raise_if_any(WeightsError, "this file holds no state dictionary")
    state, prefix = _unwrap(state)
    layout = "transformers" if any(name.startswith("vision_encoder.") for name in state) else "original"
    if layout == "transformers":
        state = to_original(state, family)
    wrapper = ".".join(part for part in (nest, prefix.rstrip(".")) if part)
    return {name: value for name, value in state.items() if name not in UNUSED}, (
        f"{layout}, under {wrapper}" if wrapper else layout
    )


def sha256_of(path: Path) -> str:
    """SHA-256 of a file in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _look(path: Path, problems: Problems) -> None:
    """Note what the first bytes tell: a folder, nothing, a web page, a pointer to a file that was not fetched."""
    if not path.is_file():
        problems.add(
            str(path), "no such file" if not path.exists() else "not a file", "a .pt, .pth or .safetensors file"
        )
        return
    with path.open("rb") as stream:
        head = stream.read(_HEAD_BYTES).lstrip().lower()
    if not head:
        problems.add(str(path), "empty", "download it again")
    elif head.startswith(_WEB_PAGE):
        problems.add(str(path), "a web page, not a checkpoint", "download the file that the page links to")
    elif head.startswith(_LFS_POINTER):
        problems.add(str(path), "a Git LFS pointer, not the file itself", "git lfs pull, or download the file")


def _load_pickle(path: Path) -> Any:
    import torch

    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        found, fix = _refusal(str(error))
    except (RuntimeError, EOFError, ValueError, KeyError, IndexError, AttributeError, zipfile.BadZipFile) as error:
        found = f"cut off or damaged: {_line(error)}"
        fix = "download it again and compare its size with the published one"
    problems = Problems()
    problems.add(str(path), found, fix)
    raise WeightsError("this file cannot be read as a checkpoint", problems)


def _refusal(message: str) -> tuple[str, str]:
    """What the restricted unpickler refused, and what to do: code, or bytes that are no pickle at all."""
    if "GLOBAL" in message or "global" in message:
        wanted = message.split("GLOBAL ", 1)[-1].split(" was", 1)[0].strip() if "GLOBAL " in message else ""
        found = "a pickle that wants to run code" + (f": {_line(wanted)}" if wanted else "")
        return found, "nothing was run; use the published file, or save the state dictionary alone"
    return (
        f"no checkpoint of torch: {_line(message)}",
        "a file written by torch.save, or safetensors; download it again",
    )


def _load_safetensors(path: Path) -> Any:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, ValueError, OSError) as error:
        problems = Problems()
        problems.add(str(path), f"cut off, damaged or no safetensors: {_line(error)}", "download it again")
        raise WeightsError("this file cannot be read as a checkpoint", problems) from None


def _unnest(document: Any) -> tuple[Any, str]:
    """The mapping of parameters, and the keys that it lay under."""
    nests: list[str] = []
    while isinstance(document, Mapping):
        inner = next((key for key in _NESTS if isinstance(document.get(key), Mapping)), None)
        if inner is None:
            break
        document = document[inner]
        nests.append(inner)
    return document, ".".join(nests)


def _only_tensors(state: Any, path: Path, problems: Problems) -> None:
    import torch

    if not isinstance(state, Mapping):
        problems.add(str(path), f"a {type(state).__name__}", "a dictionary of parameters")
        return
    if not state:
        problems.add(str(path), "an empty dictionary", "a dictionary of parameters")
    others = [str(name) for name, value in state.items() if not isinstance(value, torch.Tensor)]
    if others:
        problems.add(
            str(path), f"{len(others)} entries that are no tensors: {', '.join(others[:3])}", "parameters only"
        )
    broken = [
        str(name)
        for name, value in state.items()
        if isinstance(value, torch.Tensor) and value.is_floating_point() and not bool(value.isfinite().all())
    ]
    if broken:
        problems.add(str(path), f"{len(broken)} parameters not finite: {', '.join(broken[:3])}", "another checkpoint")


def _unwrap(state: "Mapping[str, Tensor]") -> tuple[dict[str, "Tensor"], str]:
    """Parameters without the prefix that all of them share, and that prefix."""
    plain, taken = dict(state), ""
    while prefix := next((p for p in _PREFIXES if all(name.startswith(p) for name in plain)), ""):
        plain = {name.removeprefix(prefix): value for name, value in plain.items()}
        taken += prefix
    return plain, taken


def _line(text: object) -> str:
    """First line of a message, short enough for a terminal."""
    first = (str(text).strip().splitlines() or [""])[0]
    return first if len(first) <= 160 else first[:157] + "..."
