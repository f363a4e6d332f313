"""Writing NIfTI: geometry and voxels only, no text that a header could carry on."""

import gzip
import os
import secrets
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
from nibabel.affines import voxel_sizes

from dgsweep.storage.files import write_bytes
from dgsweep.storage.place import AnyPath

_PLAIN = {"b": np.uint8, "f": np.float32}
_INTEGERS = (np.uint8, np.int16, np.uint16, np.int32)
"""In the order in which they are tried for whole numbers that NIfTI readers do not like as they are."""


def save_volume(
    path: AnyPath, array: npt.NDArray[Any], affine: npt.NDArray[np.float64], *, space_code: int = 1
) -> None:
    """Write voxels (i, j, k) in the order given with their affine (4, 4) to RAS mm and an otherwise empty header.

    Atomic. 64-bit and boolean voxels become the smallest usual type that holds them. The qform is left out where a
    rotation cannot hold the affine.
    """
    image = nib.Nifti1Image(_usual(array), None)
    image.set_sform(affine, code=space_code)
    image.set_qform(affine, code=space_code if _is_orthogonal(affine) else 0, strip_shears=True)
    image.header.set_xyzt_units("mm")
    if not isinstance(path, Path):
        content = image.to_bytes()
        write_bytes(path, gzip.compress(content, compresslevel=1) if path.name.lower().endswith(".gz") else content)
        return
    suffix = ".nii.gz" if path.name.lower().endswith(".gz") else ".nii"
    partial = path.with_name(f".{secrets.token_hex(8)}{suffix}")
    try:
        nib.save(image, partial)
        with partial.open("rb") as stream:
            os.fsync(stream.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _usual(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if array.dtype.kind in "bf":
        return array.astype(_PLAIN[array.dtype.kind], copy=False)
    if array.dtype.itemsize <= 4 and array.dtype != np.uint32:
        return array
    low, high = (int(array.min()), int(array.max())) if array.size else (0, 0)
    fitting = (kind for kind in _INTEGERS if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max)
    return array.astype(next(fitting, np.float32))


def _is_orthogonal(affine: npt.NDArray[np.float64]) -> bool:
    """Whether a qform (rotation and scale only) can hold the affine."""
    axes = affine[:3, :3] / voxel_sizes(affine)
    return bool(np.allclose(axes.T @ axes, np.eye(3), atol=1e-4))
