"""What a pair of masks must be before it is scored, and the memory layout that scoring is fast in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dgsweep.errors import InputError, Problems

SpacingMm = tuple[float, float, float]
BoolArray = NDArray[np.bool_]
Points = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Mask:
    """One binary mask, by the voxels that it holds: most volumes are nearly empty, most work is not done then."""

    flat: BoolArray
    """The mask in C order, (n_voxels of the image,)."""
    shape: tuple[int, int, int]
    """Shape of the image."""
    voxels: Points
    """Sorted positions in `flat` of the foreground, (n,)."""


@dataclass(frozen=True, kw_only=True)
class MaskPair:
    """A prediction and a reference on the same grid."""

    pred: Mask
    ref: Mask
    spacing_mm: SpacingMm
    """Spacing along the axes of the masks in millimetres."""

    @property
    def diagonal_mm(self) -> float:
        """Length of the diagonal of the image, outer face to outer face, in millimetres."""
        return float(np.linalg.norm(np.multiply(self.pred.shape, self.spacing_mm)))


def mask_pair(pred: ArrayLike, ref: ArrayLike, *, spacing_mm: Sequence[float], tau_mm: float) -> MaskPair:
    """Check two binary masks (x, y, z) and bring them into the layout in which they are scored.

    Raises:
        InputError: not 3D, shapes differ, empty grid, values other than 0 and 1, or a spacing or tolerance that is
            not finite and positive (a tolerance may be 0); it lists all that apply.
    """
    arrays = {"prediction": np.asarray(pred), "reference": np.asarray(ref)}
    problems = Problems()
    _check_grid(arrays, spacing_mm, tau_mm, problems)
    for where, array in arrays.items():
        if not _is_binary(array):
            problems.add(where, _describe_values(array), "expected only 0 and 1; score label maps with score_labels")
    problems.raise_if_any(InputError, "These two masks cannot be scored")
    x, y, z = (float(value) for value in spacing_mm)
    return _pair(_as_bool(arrays["prediction"]), _as_bool(arrays["reference"]), (x, y, z))


def check_labelmaps(
    pred: NDArray[np.generic],
    ref: NDArray[np.generic],
    labels: Mapping[str, int],
    *,
    spacing_mm: Sequence[float],
    tau_mm: float,
) -> None:
    """Check two label maps (x, y, z) and the structures asked for.

    Raises:
        InputError: as `mask_pair`, or values that are not whole numbers, or a structure with value 0 (background).
    """
    arrays = {"prediction": pred, "reference": ref}
    problems = Problems()
    _check_grid(arrays, spacing_mm, tau_mm, problems)
    for where, array in arrays.items():
        if not _is_whole(array):
            problems.add(where, _describe_values(array), "expected whole numbers, one for each structure")
    for name, value in labels.items():
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value == 0:
            problems.add(f"labels.{name}", f"value {value!r}", "expected a whole number other than 0 (background)")
    problems.raise_if_any(InputError, "These two label maps cannot be scored")


def _check_grid(
    arrays: Mapping[str, NDArray[np.generic]], spacing_mm: Sequence[float], tau_mm: float, problems: Problems
) -> None:
    for where, array in arrays.items():
        if array.ndim != 3 or array.size == 0:
            problems.add(where, f"shape {array.shape}", "expected three axes x, y, z, none of length 0")
    if len({array.shape for array in arrays.values()}) > 1:
        shapes = " and ".join(str(array.shape) for array in arrays.values())
        problems.add("prediction, reference", f"shapes {shapes}", "bring the prediction to the grid of the reference")
    spacing = _floats(spacing_mm)
    if spacing is None or spacing.shape != (3,) or not np.all(np.isfinite(spacing) & (spacing > 0)):
        problems.add("spacing_mm", repr(spacing_mm), "expected three finite numbers above 0: x, y, z in mm")
    tau = _floats(tau_mm)
    if tau is None or tau.ndim != 0 or not (np.isfinite(tau) and tau >= 0):
        problems.add("tau_mm", repr(tau_mm), "expected a finite number of at least 0, in mm")


def _floats(value: object) -> NDArray[np.float64] | None:
    try:
        return np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        return None


def _is_binary(array: NDArray[np.generic]) -> bool:
    if array.dtype == np.bool_ or array.size == 0:
        return True
    if array.dtype.kind not in "iuf":
        return False
    values = np.asarray(array)
    if array.dtype.kind == "f":
        return bool(np.all((values == 0) | (values == 1)))
    return bool(values.min() >= 0 and values.max() <= 1)


def _is_whole(array: NDArray[np.generic]) -> bool:
    if array.dtype.kind != "f":
        return array.dtype.kind in "iub"
    values = np.asarray(array, dtype=np.float64)
    return bool(np.all(np.isfinite(values) & (np.floor(values) == values)))


def _describe_values(array: NDArray[np.generic]) -> str:
    if array.dtype.kind not in "iuf" or array.size == 0:
        return f"values of type {array.dtype}"
    return f"values of type {array.dtype} from {array.min()} to {array.max()}"


def _as_bool(array: NDArray[np.generic]) -> BoolArray:
    """Reuse the memory of one-byte masks (checked to hold 0 and 1 only), compare otherwise."""
    if array.dtype.itemsize == 1 and array.dtype.kind in "iu":
        return array.view(np.bool_)
    return np.asarray(array != 0, dtype=np.bool_)


def _pair(pred: BoolArray, ref: BoolArray, spacing_mm: SpacingMm) -> MaskPair:
    # NIfTI readers give Fortran order. Every score is the same for the transposed pair, and a transposed view is free.
    if pred.flags.f_contiguous and ref.flags.f_contiguous:
        x, y, z = spacing_mm
        return MaskPair(pred=_mask(pred.T), ref=_mask(ref.T), spacing_mm=(z, y, x))
    return MaskPair(pred=_mask(pred), ref=_mask(ref), spacing_mm=spacing_mm)


def _mask(array: BoolArray) -> Mask:
    flat = np.ascontiguousarray(array).reshape(-1)
    n_x, n_y, n_z = array.shape
    return Mask(flat=flat, shape=(n_x, n_y, n_z), voxels=np.flatnonzero(flat).astype(np.int64, copy=False))
