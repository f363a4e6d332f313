"""From a file's grid to the working grid and back, without rotating anything.

Voxel axes are flipped and permuted to closest RAS and resampled to the working spacing along each axis. Resampling
happens in index space with aligned outer edges: n voxels become round(n * spacing / target), and the way back is the
exact inverse whatever the affine (oblique, left-handed, sheared). As nnU-Net: images by cubic B-spline, labels linearly
on their one-hot form; where voxels are anisotropic (factor above 3) the thick axis is resampled by nearest neighbour.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk  # noqa: N813 - the name that its own documentation uses

from dgsweep.data.grid import NativeGrid, Shape, Spacing, corner_distance_voxels
from dgsweep.data.nifti import MAX_VOLUME_BYTES, case_error, is_nifti, read_array, read_header
from dgsweep.data.volume_file import save_volume
from dgsweep.errors import CaseError, Problem
from dgsweep.storage.place import AnyPath

__all__ = [
    "NativeGrid", "Volume", "grid_mismatch", "probabilities_to_native", "read_label", "read_volume", "resample_image",
    "resample_label", "resampled_shape", "to_native", "write_mask",
]  # fmt: skip

ANISOTROPY_THRESHOLD = 3.0
"""nnU-Net's ANISO_THRESHOLD: largest over smallest voxel side from which the thick axis is resampled apart."""
MAX_CORNER_DISTANCE = 0.5
"""Label and image count as the same grid while no corner is further off than this many (smallest) voxel sides."""
_Interpolator = Any


@dataclass(frozen=True, kw_only=True)
class Volume:
    """A scan in closest RAS."""

    array: npt.NDArray[np.float32]
    """(x, y, z)."""
    spacing_mm: Spacing
    native: NativeGrid


def read_volume(path: Path, *, max_bytes: int = MAX_VOLUME_BYTES) -> Volume:
    """Read an image as float32 in closest RAS; CaseError when it cannot be read or holds NaN or infinity."""
    array, native = read_array(path, max_bytes)
    bad = int(array.size - np.isfinite(array).sum())
    if bad:
        raise case_error(
            path, f"{bad} of {array.size} voxels are NaN or infinite", "replace them by the background value"
        )
    return Volume(array=native.to_canonical(array), spacing_mm=native.spacing_mm, native=native)


def read_label(path: Path, image: NativeGrid, *, max_bytes: int = MAX_VOLUME_BYTES) -> npt.NDArray[np.int32]:
    """Read a label map (x, y, z) in closest RAS on the grid of its image; CaseError when grids or values do not fit."""
    array, native = read_array(path, max_bytes)
    mismatch = grid_mismatch(image, native)
    if mismatch:
        raise case_error(path, mismatch, "resample the label onto the image's grid")
    if not np.isfinite(array).all() or np.abs(array).max(initial=0.0) > 2**24 or (array != np.rint(array)).any():
        raise case_error(path, "a label value is no whole number", "write the label map with integer values")
    return native.to_canonical(array.astype(np.int32))


def grid_mismatch(image: NativeGrid, label: NativeGrid) -> str:
    """What keeps a label from lying on its image's grid, '' when nothing does. Flipped or permuted storage is fine."""
    if image.canonical_shape != label.canonical_shape:
        return f"the label has {label.canonical_shape} voxels, its image {image.canonical_shape} (x, y, z in RAS)"
    distance = corner_distance_voxels(image, label)
    if distance > MAX_CORNER_DISTANCE:
        return f"the label lies up to {distance * min(image.spacing_mm):.2f} mm off its image (the affines differ)"
    return ""


def resampled_shape(shape: Shape, spacing_mm: Spacing, target_spacing_mm: Spacing) -> Shape:
    """Voxels (x, y, z) after resampling: the nearest whole number, at least 1."""
    x, y, z = (
        max(1, round(length * old / new)) for length, old, new in zip(shape, spacing_mm, target_spacing_mm, strict=True)
    )
    return x, y, z


def resample_image(
    array: npt.NDArray[np.float32], spacing_mm: Spacing, target_spacing_mm: Spacing
) -> npt.NDArray[np.float32]:
    """Image (x, y, z) on the working grid: cubic B-spline, clipped to the range of the input."""
    shape = resampled_shape(_triple(array.shape), spacing_mm, target_spacing_mm)
    thick = _thick_axis(spacing_mm, target_spacing_mm)
    given = array.astype(np.float32, copy=False)
    resampled = _resample(given, shape, thick, sitk.sitkBSpline)
    return given if resampled is given else np.clip(resampled, array.min(), array.max(), out=resampled)


def resample_label(
    labels: npt.NDArray[np.integer[Any]], spacing_mm: Spacing, target_spacing_mm: Spacing
) -> npt.NDArray[np.uint8]:
    """Classes 0..255 (x, y, z), on the grid that `resample_image` gives the image: the class of most linear weight."""
    shape = resampled_shape(_triple(labels.shape), spacing_mm, target_spacing_mm)
    thick = _thick_axis(spacing_mm, target_spacing_mm)
    classes = np.unique(labels)
    result = np.full(shape, classes[0], dtype=np.uint8)
    if len(classes) == 1:
        return result
    best = _resample((labels == classes[0]).astype(np.float32), shape, thick, sitk.sitkLinear)
    for value in classes[1:]:
        weight = _resample((labels == value).astype(np.float32), shape, thick, sitk.sitkLinear)
        result[weight > best] = value
        np.maximum(best, weight, out=best)
    return result


def to_native(class_probabilities: npt.NDArray[np.float32], native: NativeGrid) -> npt.NDArray[np.uint8]:
    """Class of each voxel in the file's own order, from probabilities or logits (C, x, y, z) on the working grid."""
    shape, spacing = native.canonical_shape, native.spacing_mm
    sides = zip(shape, spacing, class_probabilities.shape[1:], strict=True)
    thick = _thick_axis(_triple(tuple(old * size / new for old, size, new in sides)), spacing)
    if len(class_probabilities) == 2:  # linear: the sign of the difference is the argmax, at half the cost
        difference = (class_probabilities[1] - class_probabilities[0]).astype(np.float32, copy=False)
        return native.from_canonical((_resample(difference, shape, thick, sitk.sitkLinear) > 0).astype(np.uint8))
    best = _resample(class_probabilities[0].astype(np.float32, copy=False), shape, thick, sitk.sitkLinear)
    mask = np.zeros(shape, dtype=np.uint8)
    for index in range(1, len(class_probabilities)):
        score = _resample(class_probabilities[index].astype(np.float32, copy=False), shape, thick, sitk.sitkLinear)
        mask[score > best] = index
        best = np.maximum(best, score)
    return native.from_canonical(mask)


def probabilities_to_native(
    class_probabilities: npt.NDArray[np.float32], native: NativeGrid
) -> npt.NDArray[np.float32]:
    """Probabilities (C, i, j, k) in the file's own voxel order, from those (C, x, y, z) on the working grid."""
    shape, spacing = native.canonical_shape, native.spacing_mm
    sides = zip(shape, spacing, class_probabilities.shape[1:], strict=True)
    thick = _thick_axis(_triple(tuple(old * size / new for old, size, new in sides)), spacing)
    return np.stack(
        [
            native.from_canonical(_resample(one.astype(np.float32, copy=False), shape, thick, sitk.sitkLinear))
            for one in class_probabilities
        ]
    )


def write_mask(path: AnyPath, mask: npt.NDArray[np.uint8], native: NativeGrid) -> None:
    """Write a mask in the file's own voxel order as NIfTI with the source's affine and an otherwise empty header.

    Atomic. Raises CaseError when the mask is not on the grid or the name is no NIfTI name.
    """
    if mask.shape != native.shape or not is_nifti(path):
        problem = Problem(where=str(path), found=f"a mask of shape {mask.shape} for a grid of {native.shape}",
                          fix="expected a .nii or .nii.gz name and the grid's own shape")  # fmt: skip
        raise CaseError("the mask cannot be written", [problem])
    save_volume(path, np.ascontiguousarray(mask, dtype=np.uint8), native.matrix, space_code=native.space_code)


def native_grid(path: Path, *, max_bytes: int = MAX_VOLUME_BYTES) -> NativeGrid:
    """Grid of a file, from its header only; CaseError when the header is unusable."""
    return read_header(path, max_bytes)[0]


def _triple(values: tuple[Any, ...]) -> tuple[Any, Any, Any]:
    x, y, z = values
    return x, y, z


def _thick_axis(spacing_mm: Spacing, target_spacing_mm: Spacing) -> int | None:
    """Axis to resample apart: the one longest side of the first grid that is anisotropic; None when there is none."""
    for sides in (spacing_mm, target_spacing_mm):
        if max(sides) / min(sides) > ANISOTROPY_THRESHOLD:
            longest = [axis for axis, side in enumerate(sides) if np.isclose(side, max(sides))]
            return longest[0] if len(longest) == 1 else None
    return None


def _resample(
    array: npt.NDArray[np.float32], shape: Shape, thick: int | None, interpolator: _Interpolator
) -> npt.NDArray[np.float32]:
    """In-plane by `interpolator`, then along the thick axis by nearest neighbour; all axes at once without one."""
    if thick is None:
        return _resample_once(array, shape, interpolator)
    in_plane = _triple(tuple(array.shape[axis] if axis == thick else shape[axis] for axis in range(3)))
    return _resample_once(_resample_once(array, in_plane, interpolator), shape, sitk.sitkNearestNeighbor)


def _resample_once(
    array: npt.NDArray[np.float32], shape: Shape, interpolator: _Interpolator
) -> npt.NDArray[np.float32]:
    if array.shape == shape:
        return array
    if interpolator == sitk.sitkBSpline and min(array.shape) < 4:  # ITK's spline filter needs 4 voxels an axis
        interpolator = sitk.sitkLinear
    scale = [old / new for old, new in zip(array.shape, shape, strict=True)][::-1]  # SimpleITK numbers axes backwards
    filter_ = sitk.ResampleImageFilter()
    filter_.SetSize([int(length) for length in shape[::-1]])
    filter_.SetOutputSpacing(scale)
    filter_.SetOutputOrigin([(step - 1) / 2 for step in scale])  # voxel k of the result lies at (k + 1/2) step - 1/2
    filter_.SetInterpolator(interpolator)
    return np.asarray(sitk.GetArrayFromImage(filter_.Execute(sitk.GetImageFromArray(np.ascontiguousarray(array)))))
