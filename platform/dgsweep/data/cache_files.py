"""What lies in a preprocess cache: list it, check it, remove it. Entries can always be built again."""

import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dgsweep.errors import InputError, Problem

KINDS = ("images", "labels")
DAY_S = 24 * 3600.0
OTHERS = ("images", "labels", "partial", "locks", "embeddings")
"""Folders that a cache may hold; anything else is none of ours and keeps `rm` from starting."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One preprocessed image or label."""

    kind: str
    key: str
    folder: Path
    size_bytes: int
    shape: tuple[int, ...]
    """Voxels (x, y, z) of an image on the working grid; empty where meta.json does not tell."""
    age_days: float
    """Since it was built."""


def entries(cache: Path) -> Iterator[Entry]:
    """Every entry; InputError when the folder is no cache."""
    _require_cache(cache)
    for kind in KINDS:
        for folder in sorted((cache / kind).glob("??/*")):
            if folder.is_dir():
                files = [path for path in folder.iterdir() if path.is_file()]
                newest = max((path.stat().st_mtime for path in files), default=folder.stat().st_mtime)
                yield Entry(
                    kind=kind, key=folder.name, folder=folder, size_bytes=sum(path.stat().st_size for path in files),
                    shape=_shape(folder), age_days=(time.time() - newest) / DAY_S,
                )  # fmt: skip


def damage_of(entry: Entry) -> str:
    """What is wrong with an entry, '' when nothing is: files missing, shorter than written, or no arrays."""
    try:
        meta = json.loads((entry.folder / "meta.json").read_text(encoding="utf-8"))
        for name, size in meta["files"].items():
            path = entry.folder / name
            if not path.is_file():
                return f"{name} is missing"
            if path.stat().st_size != size:
                return f"{name} holds {path.stat().st_size} bytes, {size} were written"
            array = np.load(path, mmap_mode="r", allow_pickle=False)
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                return f"{name} holds NaN or infinity"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"it cannot be read ({error or type(error).__name__})"
    return ""


def remove(cache: Path, *, older_than_days: float = 0.0, damaged_only: bool = False) -> tuple[int, int]:
    """Remove entries, and what builders that died left half-written; number and bytes removed.

    A sweep that runs builds again what it misses, but arrays that it has open stay on the disk until it ends.
    """
    count, freed = 0, 0
    for entry in list(entries(cache)):
        if entry.age_days >= older_than_days and (not damaged_only or damage_of(entry)):
            shutil.rmtree(entry.folder, ignore_errors=True)
            count, freed = count + 1, freed + entry.size_bytes
    if not damaged_only and not older_than_days:
        shutil.rmtree(cache / "partial", ignore_errors=True)
    return count, freed


def _require_cache(cache: Path) -> None:
    """A folder that holds something else is not touched."""
    if not cache.is_dir():
        raise _no_cache(cache, "there is no such folder")
    strange = sorted(path.name for path in cache.iterdir() if path.name not in OTHERS)
    if strange:
        raise _no_cache(cache, f"it holds {strange[0]!r}, which no cache does")


def _no_cache(cache: Path, found: str) -> InputError:
    fix = "name the folder `cache` in the output of a sweep, or what data.cache says"
    return InputError("this is no preprocess cache", [Problem(where=str(cache), found=found, fix=fix)])


def _shape(folder: Path) -> tuple[int, ...]:
    try:
        return tuple(np.load(next(folder.glob("[il]*.npy")), mmap_mode="r", allow_pickle=False).shape)
    except (OSError, ValueError, StopIteration):
        return ()
