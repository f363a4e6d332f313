"""Files that are either the old or the new version, whatever is killed when."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dgsweep.errors import DgsweepError
from dgsweep.storage.files import read_bytes, write_bytes
from dgsweep.storage.place import AnyPath

_LEFTOVER = ".*.tmp"


class RecordError(DgsweepError):
    """A file of the ledger breaks its contract: a column is missing, a checksum differs, a document is cut off."""


def write_json(path: AnyPath, value: Mapping[str, Any], *, durable: bool = True) -> None:
    """Replace `path` by indented JSON, so that a diff of two versions can be read."""
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
    write_bytes(path, (text + "\n").encode(), durable=durable)


def read_json(path: AnyPath) -> dict[str, Any] | None:
    """Read a JSON object; None when the file is not there.

    Raises:
        RecordError: The file is there but holds no JSON object.
    """
    try:
        value = json.loads(read_bytes(path))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise RecordError(f"{path}: is not JSON ({error}); remove the file and run the sweep again") from error
    if not isinstance(value, dict):
        raise RecordError(f"{path}: holds no JSON object; remove the file and run the sweep again")
    return value


def read_json_or_empty(path: AnyPath) -> dict[str, Any]:
    """Read a JSON object; {} when the file is not there or holds none."""
    try:
        return read_json(path) or {}
    except RecordError:
        return {}


def file_sha256(path: AnyPath) -> str:
    """SHA-256 of a file's content in hexadecimal; '' when the file is not there."""
    try:
        if not isinstance(path, Path):
            return hashlib.sha256(read_bytes(path)).hexdigest()
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except FileNotFoundError:
        return ""


def remove_leftovers(folder: AnyPath) -> None:
    """Remove the temporary files of a writer that was killed; call it as the only writer of `folder`."""
    if not isinstance(folder, Path):  # a store keeps no half of a put
        return
    for leftover in folder.glob(_LEFTOVER):
        leftover.unlink(missing_ok=True)
