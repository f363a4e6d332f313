"""Files that are either the old or the new version, whatever is killed when."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

from dgsweep.errors import DgsweepError

_LEFTOVER = ".*.tmp"


class RecordError(DgsweepError):
    """A file of the ledger breaks its contract: a column is missing, a checksum differs, a document is cut off."""


def write_bytes(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Replace `path` by `content` through a temporary file beside it, making parent folders.

    Args:
        path: File to write.
        content: All of it.
        durable: Force it to the disk before and after the rename; False for what may be lost in a power cut.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid4().hex}.tmp")
    try:
        with temporary.open("xb") as stream:
            stream.write(content)
            stream.flush()
            if durable:
                os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    if durable:
        _sync_folder(path.parent)


def write_json(path: Path, value: Mapping[str, Any], *, durable: bool = True) -> None:
    """Replace `path` by indented JSON, so that a diff of two versions can be read."""
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
    write_bytes(path, (text + "\n").encode(), durable=durable)


def read_json(path: Path) -> dict[str, Any] | None:
    """Read a JSON object; None when the file is not there.

    Raises:
        RecordError: The file is there but holds no JSON object.
    """
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise RecordError(f"{path}: is not JSON ({error}); remove the file and run the sweep again") from error
    if not isinstance(value, dict):
        raise RecordError(f"{path}: holds no JSON object; remove the file and run the sweep again")
    return value


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content in hexadecimal; '' when the file is not there."""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except FileNotFoundError:
        return ""


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files of a writer that was killed; call it as the only writer of `folder`."""
    for leftover in folder.glob(_LEFTOVER):
        leftover.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Make a rename durable, where the platform can open folders."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
