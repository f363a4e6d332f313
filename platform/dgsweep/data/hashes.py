"""Fingerprints of file content, kept between runs so that an unchanged file is read once."""

import hashlib
import json
import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dgsweep.data.nifti import UNREADABLE, case_error, open_stream

CHUNK_BYTES = 2**20
UNSETTLED_S = 2.0
"""A file changed this recently may change again within the clock's resolution: its fingerprint is not kept."""


@dataclass(frozen=True, kw_only=True)
class Fingerprint:
    """What a file holds, independent of its name, its dates and its compression."""

    sha: str
    """SHA-256 of the decompressed bytes."""
    length: int
    """Decompressed bytes."""


def fingerprint(path: Path, *, limit: int) -> Fingerprint:
    """Hash the decompressed content; CaseError when it is cut, damaged, or longer than `limit` bytes (a bomb)."""
    digest, length = hashlib.sha256(), 0
    try:
        with open_stream(path) as stream:
            while chunk := stream.read(CHUNK_BYTES):
                digest.update(chunk)
                length += len(chunk)
                if length > limit:
                    raise case_error(
                        path, f"it holds more than {limit} bytes", "its header declares fewer; replace the file"
                    )
    except UNREADABLE as error:
        raise case_error(
            path, f"the content cannot be read ({error})", "copy the file again; it is cut or damaged"
        ) from error
    return Fingerprint(sha=digest.hexdigest(), length=length)


class HashStore:
    """Fingerprints by path, size, inode and time of change; losing the file that keeps them costs time only."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._known: dict[str, dict[str, Any]] = _load(path)
        self._changed = False

    def fingerprint(self, path: Path, *, limit: int) -> Fingerprint:
        """Fingerprint of a file, read only when the file is new or was changed; CaseError as `fingerprint`."""
        status = path.stat()
        stamp = [status.st_size, status.st_mtime_ns, status.st_ino]
        known = self._known.get(str(path), {})
        if known.get("stamp") == stamp:
            return Fingerprint(sha=str(known["sha"]), length=int(known["length"]))
        result = fingerprint(path, limit=limit)
        if time.time() - status.st_mtime > UNSETTLED_S:
            self._note(str(path), {"stamp": stamp, "sha": result.sha, "length": result.length})
        return result

    def label_values(self, sha: str) -> tuple[int, ...] | None:
        """Values that the label map with this content holds, None when not yet known."""
        values = self._known.get(f"values:{sha}", {}).get("values")
        return None if values is None else tuple(values)

    def note_label_values(self, sha: str, values: tuple[int, ...]) -> None:
        """Remember the values that a label map holds."""
        self._note(f"values:{sha}", {"values": list(values)})

    def bad_voxels(self, sha: str) -> int | None:
        """Voxels of the image with this content that are NaN or infinite, None when not yet known."""
        count = self._known.get(f"bad:{sha}", {}).get("count")
        return None if count is None else int(count)

    def note_bad_voxels(self, sha: str, count: int) -> None:
        """Remember how many voxels of an image are NaN or infinite."""
        self._note(f"bad:{sha}", {"count": count})

    def save(self) -> None:
        """Write what was learned, atomically; with several writers the last one wins."""
        if self._path is None or not self._changed:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        partial = self._path.with_name(f".{self._path.name}.{secrets.token_hex(8)}")
        with partial.open("w", encoding="utf-8") as stream:
            json.dump(self._known, stream)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(self._path)
        self._changed = False

    def _note(self, key: str, value: dict[str, Any]) -> None:
        self._known[key] = value
        self._changed = True


def _load(path: Path | None) -> dict[str, dict[str, Any]]:
    """What an earlier run learned; nothing when the file is missing or damaged."""
    if path is None or not path.is_file():
        return {}
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) and all(isinstance(value, dict) for value in known.values()) else {}
