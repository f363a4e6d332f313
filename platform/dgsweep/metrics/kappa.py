"""Agreement of readers beyond chance: Cohen's kappa of two, Fleiss' kappa of several. NaN where chance explains all."""

import math

import numpy as np
from numpy.typing import ArrayLike

from dgsweep.metrics.overlap import Overlap


def cohen_kappa(table: ArrayLike) -> float:
    """Cohen's kappa from counts (answers of the first reader, answers of the second).

    (p_o - p_e) / (1 - p_e), J. Cohen, Educ. Psychol. Meas. 1960;20:37-46. NaN without counts, and where both readers
    gave one and the same answer throughout.
    """
    counts = np.asarray(table, dtype=np.float64)
    total = counts.sum()
    if not total:
        return math.nan
    expected = float(counts.sum(axis=1) @ counts.sum(axis=0)) / total**2
    observed = float(np.trace(counts)) / total
    return (observed - expected) / (1.0 - expected) if expected < 1.0 else math.nan


def voxel_kappa(overlap: Overlap, voxels: int) -> float:
    """Cohen's kappa of two masks over a region of `voxels` voxels that holds both; NaN where both are empty or full.

    It depends on the region: the more background, the nearer it comes to Dice, which is its limit.
    """
    both = overlap.n_both
    first, second = overlap.n_pred - both, overlap.n_ref - both
    return cohen_kappa([[both, first], [second, voxels - both - first - second]])


def fleiss_kappa(counts: ArrayLike) -> float:
    """Fleiss' kappa from counts (items, answers): how many readers gave each answer to each item.

    J. L. Fleiss, Psychol. Bull. 1971;76:378-382. Every item needs the same number of readers, two at least; NaN where
    all gave one and the same answer throughout.
    """
    given = np.asarray(counts, dtype=np.float64)
    if not given.size or given.sum(axis=1).min() < 2:
        return math.nan
    readers = given.sum(axis=1)
    agreed = float((((given**2).sum(axis=1) - readers) / (readers * (readers - 1.0))).mean())
    expected = float(((given.sum(axis=0) / given.sum()) ** 2).sum())
    return (agreed - expected) / (1.0 - expected) if expected < 1.0 else math.nan
