"""Volumes, their relative error, and how well two series of volumes agree."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dgsweep.errors import InputError

_MM3_PER_ML = 1000.0


def volume_ml(n_voxels: int, spacing_mm: Sequence[float]) -> float:
    """Return the volume in ml of `n_voxels` voxels of `spacing_mm` (x, y, z) millimetres."""
    return float(n_voxels * np.prod(np.asarray(spacing_mm, dtype=np.float64)) / _MM3_PER_ML)


def volume_error(predicted: float, reference: float) -> float:
    """Return the signed relative volume error (predicted - reference) / reference; NaN for an empty reference.

    Any unit, the same for both (MedPy calls it `ravd`).
    """
    return (predicted - reference) / reference if reference > 0 else float("nan")


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How predicted volumes agree with reference volumes over cases."""

    n: int
    """Number of cases with two finite volumes."""
    n_dropped: int
    """Number of cases with a volume that is not finite."""
    bias: float
    """Mean of predicted - reference, in the unit of the volumes."""
    sd: float
    """Standard deviation of the differences (n - 1)."""
    limits: tuple[float, float]
    """95 % limits of agreement, bias -/+ 1.96 sd (Bland and Altman, Lancet 1986)."""
    concordance: float
    """Lin's concordance correlation coefficient (Biometrics 1989), divided by n; NaN when all are equal."""


def volume_agreement(predicted: ArrayLike, reference: ArrayLike) -> Agreement:
    """Return Bland-Altman limits and Lin's concordance of two series of volumes (n,), one entry a case.

    Raises:
        InputError: the series differ in length, or fewer than two cases have two finite volumes.
    """
    first, second = np.asarray(predicted, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    if first.ndim != 1 or first.shape != second.shape:
        raise InputError(f"agreement: found shapes {first.shape} and {second.shape}, expected two equally long series")
    finite = np.isfinite(first) & np.isfinite(second)
    if finite.sum() < 2:
        raise InputError(f"agreement: found {finite.sum()} cases with two finite volumes, expected at least 2")
    return _agreement(first[finite], second[finite], n_dropped=int((~finite).sum()))


def _agreement(predicted: NDArray[np.float64], reference: NDArray[np.float64], *, n_dropped: int) -> Agreement:
    difference = predicted - reference
    bias, sd = float(difference.mean()), float(difference.std(ddof=1))
    spread = predicted.var() + reference.var() + bias**2
    covariance = np.mean((predicted - predicted.mean()) * (reference - reference.mean()))
    return Agreement(
        n=difference.size,
        n_dropped=n_dropped,
        bias=bias,
        sd=sd,
        limits=(bias - 1.96 * sd, bias + 1.96 * sd),
        concordance=float(2 * covariance / spread) if spread > 0 else float("nan"),
    )
