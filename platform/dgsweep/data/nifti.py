"""Reading NIfTI files that may be damaged or hostile: every size is checked against a cap before memory is taken."""

import gzip
import math
import zlib
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
from nibabel.affines import voxel_sizes
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError

from dgsweep.data.grid import NativeGrid
from dgsweep.errors import CaseError, Problem
from dgsweep.storage.place import AnyPath

MAX_VOLUME_BYTES = 4 * 2**30
"""A volume that would need more than this as float32 is refused before it is read."""
SPACING_RANGE_MM = (0.01, 100.0)
UNREADABLE = (
    OSError,
    EOFError,
    zlib.error,
    ValueError,
    LookupError,
    ImageFileError,
    HeaderDataError,
    OverflowError,
    MemoryError,
)
"""What nibabel, gzip and numpy raise on a damaged file."""
_HEADERS = {348: (nib.Nifti1Header, 344, b"n+1\0"), 540: (nib.Nifti2Header, 4, b"n+2\0")}


def is_nifti(path: AnyPath) -> bool:
    """Whether the name says single-file NIfTI."""
    return path.name.lower().endswith((".nii", ".nii.gz"))


def open_stream(path: Path) -> Any:
    """The file's bytes, decompressed when the name ends with `.gz`."""
    return gzip.open(path, "rb") if path.name.lower().endswith(".gz") else path.open("rb")


def case_error(path: Path, found: str, fix: str) -> CaseError:
    """The error for one unusable file."""
    return CaseError(f"{path.name} cannot be used", [Problem(where=str(path), found=found, fix=fix)])


def read_header(path: Path, max_bytes: int = MAX_VOLUME_BYTES) -> tuple[NativeGrid, int]:
    """Grid of the file and the bytes that header and voxels must have together, decompressed.

    Reads the header only. Raises CaseError when it is no single-file NIfTI of one volume, holds no real numbers, has an
    impossible size, spacing or affine, or declares more than `max_bytes` as float32. A fourth axis of length 1 is fine.
    """
    grid, volumes, needed = _read_header(path, max_bytes)
    if volumes != 1:
        raise case_error(path, f"the image has {volumes} volumes", "expected one 3D volume; split 4D series into cases")
    return grid, needed


def read_volume_header(path: Path, max_bytes: int = MAX_VOLUME_BYTES) -> tuple[NativeGrid, int]:
    """Grid of the volumes of a 3D or 4D file and how many it holds; CaseError as `read_header`."""
    grid, volumes, _ = _read_header(path, max_bytes)
    return grid, volumes


def _read_header(path: Path, max_bytes: int) -> tuple[NativeGrid, int, int]:
    try:
        with open_stream(path) as stream:
            header = _parse(path, stream.read(540))
        volumes = _check_voxels(path, header, max_bytes)
        grid = _grid(path, header)
        needed = int(header["vox_offset"]) + math.prod(grid.shape) * volumes * header.get_data_dtype().itemsize
    except UNREADABLE as error:
        raise case_error(path, f"the header cannot be read ({error})", "replace the file by an intact NIfTI") from error
    return grid, volumes, needed


def read_array(path: Path, max_bytes: int = MAX_VOLUME_BYTES) -> tuple[npt.NDArray[np.float32], NativeGrid]:
    """Voxels as float32, scaled as the header says, in the file's own order, and the grid. Raises CaseError."""
    grid, _ = read_header(path, max_bytes)
    try:
        array = np.asarray(nib.load(path, mmap=False).dataobj, dtype=np.float32).reshape(grid.shape)
    except UNREADABLE as error:
        raise case_error(
            path, f"the voxels cannot be read ({error})", "copy the file again; it is cut or damaged"
        ) from error
    return array, grid


def count_bad_voxels(path: Path, max_bytes: int = MAX_VOLUME_BYTES) -> int:
    """Voxels that are NaN or infinite; files of whole numbers are not read."""
    if not np.issubdtype(nib.load(path).get_data_dtype(), np.floating):
        return 0
    array, _ = read_array(path, max_bytes)
    return int(array.size - np.isfinite(array).sum())


def _parse(path: Path, raw: bytes) -> Any:
    """Unrepaired header: nibabel would silently turn a voxel size of 0 into 1."""
    for order in ("little", "big"):
        kind, at, magic = _HEADERS.get(int.from_bytes(raw[:4], order), (None, 0, b""))
        if kind is not None and raw[at : at + 4] == magic:
            endianness = {"little": "<", "big": ">"}[order]
            return kind(raw[: kind.sizeof_hdr], endianness=endianness, check=False)
    raise case_error(path, "this is no single-file NIfTI", "convert the scan to .nii.gz")


def _check_voxels(path: Path, header: Any, max_bytes: int) -> int:
    """Number of volumes, all of whose voxels together are few enough."""
    axes = int(header["dim"][0])
    shape = tuple(int(length) for length in header["dim"][1 : 1 + max(axes, 0)])
    if not 3 <= axes <= 7 or min(shape) < 1:
        raise case_error(path, f"the image has the shape {shape}", "expected one 3D volume")
    declared = math.prod(shape) * 4
    if declared > max_bytes:
        raise case_error(
            path,
            f"the header declares {shape} voxels, {declared / 2**30:.1f} GiB as float32",
            f"at most {max_bytes / 2**30:.1f} GiB are read; crop the scan, or its header is wrong",
        )
    if header.get_data_dtype().kind not in "iuf":
        raise case_error(path, f"voxels are of type {header.get_data_dtype()}", "expected integers or real numbers")
    return math.prod(shape[3:])


def _grid(path: Path, header: Any) -> NativeGrid:
    sizes = np.abs(np.asarray(header["pixdim"][1:4], dtype=np.float64))
    _check_spacing(path, sizes, "pixdim")
    header["pixdim"][1:4] = sizes
    if header["pixdim"][0] not in (-1, 1):  # 0 is common; the standard reads it as 1
        header["pixdim"][0] = 1
    affine = np.asarray(header.get_best_affine(), dtype=np.float64)
    if not np.isfinite(affine).all():
        raise case_error(path, "the affine holds NaN or infinity", "repair sform or qform of the header")
    spacing = np.asarray(voxel_sizes(affine))
    _check_spacing(path, spacing, "affine")
    if abs(np.linalg.det(affine[:3, :3] / spacing)) < 1e-3:
        raise case_error(path, "two axes of the affine are parallel", "repair sform or qform of the header")
    x, y, z = (int(length) for length in header["dim"][1:4])
    code = int(header["sform_code"]) or int(header["qform_code"]) or 2
    rows = tuple((float(a), float(b), float(c), float(d)) for a, b, c, d in affine)
    return NativeGrid(shape=(x, y, z), affine=rows, space_code=code)


def _check_spacing(path: Path, sizes: npt.NDArray[np.float64], where: str) -> None:
    low, high = SPACING_RANGE_MM
    if not (np.isfinite(sizes).all() and (sizes >= low).all() and (sizes <= high).all()):
        raise case_error(
            path,
            f"voxel size {tuple(float(size) for size in sizes)} in the header's {where}",
            f"expected {low} to {high} mm along each axis; repair the header",
        )
