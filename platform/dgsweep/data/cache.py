"""Preprocessed scans on disk, keyed by content, shared by every process of a machine through the page cache."""

import errno
import json
import math
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from filelock import FileLock, Timeout

from dgsweep.data.cache_store import Arrays, shared_entry
from dgsweep.data.geometry import read_label, read_volume, resample_image, resample_label, resampled_shape
from dgsweep.data.grid import NativeGrid
from dgsweep.data.hashes import fingerprint
from dgsweep.data.manifest import TRAILING_BYTES, Case
from dgsweep.data.nifti import MAX_VOLUME_BYTES
from dgsweep.errors import CaseError, Problem, ResourceError
from dgsweep.plan.trial import Preprocessing, content_id
from dgsweep.storage.locks import NO_LOCKS, boot_id
from dgsweep.storage.place import AnyPath
from dgsweep.storage.scratch import scratch_folder

RECIPE = 1
"""Raised whenever this module or the geometry would give other voxels."""
BYTES_A_VOXEL = 6
"""float32 image, uint8 label, and one byte for the foreground indices (int64 of about an eighth of the voxels)."""
SPACE_MARGIN = 1.1
LOCK_PATIENCE_S = 900.0
"""Longer than any entry takes to build."""
STALE_S = 24 * 3600.0
"""Half-written entries of other machines are removed when they are older; clocks differ by less."""


@dataclass(frozen=True, kw_only=True)
class CachedCase:
    """One scan on the working grid; arrays are memory-mapped read-only."""

    case_id: str
    domain: str
    image: npt.NDArray[np.float32]
    """(x, y, z), normalised."""
    label: npt.NDArray[np.uint8] | None
    """(x, y, z): 0 background, k the k-th structure; None when unlabelled or not asked for."""
    foreground: Mapping[int, npt.NDArray[np.int64]]
    """Class -> flat indices of its voxels; classes without voxels are left out."""
    native: NativeGrid
    spacing_mm: tuple[float, float, float]
    """Exact voxel size (x, y, z): outer edges are aligned, so it differs a little from the one asked for."""


class PreprocessCache:
    """Folders of .npy files, each written once, complete or not at all.

    A root in an object store holds one object an entry, which every node unpacks into its scratch folder: arrays that
    are mapped into memory must lie on a disk. Without a root the scratch folder is all.
    """

    def __init__(self, root: AnyPath | None) -> None:
        self._root = root if isinstance(root, Path) else scratch_folder() / "cache"
        self._far = None if isinstance(root, Path) else root

    @property
    def folder(self) -> Path:
        """Folder of this machine in which it lies."""
        return self._root

    def training_case(self, case: Case, grid: Preprocessing, domain: str) -> CachedCase:
        """Image, label (None when the case has none) and foreground of a case. Raises CaseError, ResourceError."""
        cached = self.image(case, grid, domain)
        if case.label is None:
            return cached
        values = [case.label_values.get(name, value) for name, value in grid.labels.items()]
        key = _key("label", grid, image=_image_key(case, grid), label=case.info.label_sha, values=values)
        folder, classes = self._entry("labels", key, lambda: _label_arrays(case, cached, grid, values))
        foreground = {int(k): _mapped(folder / f"foreground_{k}.npy") for k in classes["classes"]}
        return replace(cached, label=_mapped(folder / "label.npy"), foreground=foreground)

    def image(self, case: Case, grid: Preprocessing, domain: str) -> CachedCase:
        """Image of a case; its label file is never opened. Raises CaseError, ResourceError."""
        folder, meta = self._entry("images", _image_key(case, grid), lambda: _image_arrays(case, grid))
        return CachedCase(
            case_id=case.info.case_id, domain=domain, image=_mapped(folder / "image.npy"), label=None, foreground={},
            native=NativeGrid.from_json(meta["native"]), spacing_mm=tuple(meta["spacing_mm"]),
        )  # fmt: skip

    def _entry(
        self, kind: str, key: str, build: Callable[[], tuple[Arrays, dict[str, Any]]]
    ) -> tuple[Path, dict[str, Any]]:
        """Folder and meta.json of an entry, built first when it is missing or damaged."""
        folder = self._root / kind / key[:2] / key
        meta = _read_meta(folder)
        if meta is None:
            with self._locked(key):
                meta = _read_meta(folder)  # another process may have built it meanwhile
                if meta is None:
                    arrays, meta = (
                        build() if self._far is None else shared_entry(self._far / kind / f"{key}.npz", build)
                    )
                    self._write(folder, arrays, meta)
        return folder, meta

    def _write(self, folder: Path, arrays: Arrays, meta: dict[str, Any]) -> None:
        """Write an entry beside its place and rename it there."""
        partial = self._root / "partial" / f"{folder.name}.{boot_id()[:8]}.{secrets.token_hex(8)}"
        try:
            partial.mkdir(parents=True)
            sizes = {f"{name}.npy": _save(partial / f"{name}.npy", array) for name, array in arrays.items()}
            _write_synced(partial / "meta.json", json.dumps({**meta, "files": sizes}).encode())
            folder.parent.mkdir(parents=True, exist_ok=True)
            if folder.exists() and _read_meta(folder) is None:  # damaged; a whole one is never touched, others map it
                folder.rename(partial.with_name(f"{partial.name}.damaged"))
            partial.rename(folder)
        except OSError as error:
            if _read_meta(folder) is not None:  # another process, on a file system without locks, was first
                return
            raise _write_error(self._root, error) from error
        finally:
            for left in (partial, partial.with_name(f"{partial.name}.damaged")):
                shutil.rmtree(left, ignore_errors=True)

    @contextmanager
    def _locked(self, key: str) -> Iterator[None]:
        """One builder an entry where locks work; where not, several cost time, and the rename keeps them safe."""
        try:
            (self._root / "locks").mkdir(parents=True, exist_ok=True)
            lock = FileLock(self._root / "locks" / f"{key}.lock", fallback_to_soft=False)
            lock.acquire(timeout=LOCK_PATIENCE_S)
        except (NotImplementedError, Timeout):  # no locks here, or a node that died holds it
            yield
            return
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise _write_error(self._root, error) from error
            yield
            return
        try:
            self._remove_stale(key)
            yield
        finally:
            lock.release()

    def _remove_stale(self, key: str) -> None:
        """Remove what a builder that was killed left half-written; another node's may still be growing."""
        for stale in (self._root / "partial").glob(f"{key}.*"):
            with suppress(FileNotFoundError):
                if f".{boot_id()[:8]}." in stale.name or time.time() - stale.stat().st_mtime > STALE_S:
                    shutil.rmtree(stale, ignore_errors=True)


def forecast_bytes(cases: Sequence[Case], grid: Preprocessing) -> int:
    """Bytes that the cache of these cases will take, from their headers."""
    shapes = (resampled_shape(case.info.shape, case.info.spacing_mm, grid.spacing_mm) for case in cases)
    return sum(math.prod(shape) for shape in shapes) * BYTES_A_VOXEL


def require_space(cache: AnyPath | None, needed_bytes: int) -> None:
    """Raise ResourceError unless the disk that will hold `cache` has room for `needed_bytes` and a tenth more."""
    root = PreprocessCache(cache).folder
    existing = next(folder for folder in (root.absolute(), *root.absolute().parents) if folder.exists())
    free = shutil.disk_usage(existing).free
    if needed_bytes * SPACE_MARGIN > free:
        found = f"{free / 2**30:.2f} GiB free, the preprocess cache needs {needed_bytes * SPACE_MARGIN / 2**30:.2f} GiB"
        fix = "make room, or put the cache on another disk by data.cache"
        raise ResourceError("the disk is too small", [Problem(where=str(root), found=found, fix=fix)])


def zscore(array: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Mean 0, standard deviation 1 over all voxels of the scan (nnU-Net's ZScoreNormalization); a constant gives 0."""
    mean, deviation = array.mean(dtype=np.float64), array.std(dtype=np.float64)
    return ((array - np.float32(mean)) / np.float32(max(float(deviation), 1e-8))).astype(np.float32, copy=False)


NORMALISATIONS: Mapping[str, Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]]] = {"zscore": zscore}


def _key(kind: str, grid: Preprocessing, **parts: Any) -> str:
    return content_id({"kind": kind, "recipe": RECIPE, "version": grid.version, **parts}, length=32)


def _image_key(case: Case, grid: Preprocessing) -> str:
    spacing = [float(side) for side in grid.spacing_mm]
    return _key("image", grid, image=case.info.image_sha, spacing_mm=spacing, normalisation=grid.normalisation)


def _image_arrays(case: Case, grid: Preprocessing) -> tuple[Arrays, dict[str, Any]]:
    if grid.normalisation not in NORMALISATIONS:
        raise _case_error(case, f"normalisation {grid.normalisation!r}", f"known are {', '.join(NORMALISATIONS)}")
    require_unchanged(case, case.image, case.info.image_sha)
    scan = scan_on_grid(case.image, grid)
    return {"image": scan.image}, {"native": scan.native.to_json(), "spacing_mm": list(scan.spacing_mm)}


def scan_on_grid(path: Path, grid: Preprocessing) -> CachedCase:
    """A scan as a network sees it, in memory and not in the cache; CaseError when it cannot be read."""
    volume = read_volume(path)
    image = resample_image(NORMALISATIONS[grid.normalisation](volume.array), volume.spacing_mm, grid.spacing_mm)
    x, y, z = (
        side * old / new for side, old, new in zip(volume.spacing_mm, volume.array.shape, image.shape, strict=True)
    )
    return CachedCase(
        case_id=path.name.split(".")[0], domain="", image=image, label=None, foreground={}, native=volume.native,
        spacing_mm=(x, y, z),
    )  # fmt: skip


def _label_arrays(
    case: Case, cached: CachedCase, grid: Preprocessing, values: Sequence[int]
) -> tuple[Arrays, dict[str, Any]]:
    if case.label is None:
        raise _case_error(case, "it has no label", "only labelled cases can be trained on")
    require_unchanged(case, case.label, case.info.label_sha)
    raw = read_label(case.label, cached.native)
    classes = np.zeros(raw.shape, dtype=np.uint8)
    for index, value in enumerate(values, start=1):
        classes[raw == value] = index
    label = resample_label(classes, cached.native.spacing_mm, grid.spacing_mm)
    foreground = {k: np.flatnonzero(label == k) for k in range(1, len(values) + 1)}
    arrays = {f"foreground_{k}": voxels for k, voxels in foreground.items() if len(voxels)}
    return {"label": label, **arrays}, {"classes": [k for k, voxels in foreground.items() if len(voxels)]}


def require_unchanged(case: Case, path: Path, sha: str) -> None:
    """An entry is filed under the content that the plan knew: a file changed since must not be filed there."""
    if not path.is_file():
        raise _case_error(case, f"{path.name} is gone", "put it back, or take the case out of the manifest")
    if fingerprint(path, limit=2 * MAX_VOLUME_BYTES + TRAILING_BYTES).sha != sha:
        raise _case_error(case, f"{path.name} was changed since the plan was made", "run the command again")


def _case_error(case: Case, found: str, fix: str) -> CaseError:
    where = f"case {case.info.case_id}"
    return CaseError(f"{where} cannot be prepared", [Problem(where=where, found=found, fix=fix)])


def _write_error(root: Path, error: OSError) -> ResourceError:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    fix = "make room" if full else "make the folder writable, or put the cache elsewhere by data.cache"
    return ResourceError(
        "the preprocess cache cannot be written", [Problem(where=str(root), found=str(error), fix=fix)]
    )


def _save(path: Path, array: npt.NDArray[Any]) -> int:
    with path.open("wb") as stream:
        np.save(stream, np.ascontiguousarray(array), allow_pickle=False)
        stream.flush()
        os.fsync(stream.fileno())
        return stream.tell()


def _write_synced(path: Path, content: bytes) -> None:
    with path.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _read_meta(folder: Path) -> dict[str, Any] | None:
    """meta.json of a complete entry; None when a file is missing or shorter than it was written."""
    try:
        meta: dict[str, Any] = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        whole = all((folder / name).stat().st_size == size for name, size in meta["files"].items())
    except (OSError, ValueError, KeyError):
        return None
    return meta if whole else None


def _mapped(path: Path) -> npt.NDArray[Any]:
    return np.load(path, mmap_mode="r", allow_pickle=False)
