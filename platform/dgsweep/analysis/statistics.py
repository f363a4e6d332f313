"""Intervals and tests that respect that a patient, not a scan, is what was sampled."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Bootstrap:
    """How intervals are drawn: seeded, so that the same cases give the same interval."""

    draws: int = 2000
    confidence: float = 0.95
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean over cases with its patient-clustered interval (expanded percentile); NaN bounds below two patients."""

    mean: float
    low: float
    high: float
    patients: int
    cases: int


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A mean paired difference, its interval, and a two-sided signed-rank p over patients (NaN below two patients)."""

    difference: float
    low: float
    high: float
    p: float
    patients: int
    cases: int


NOTHING = Estimate(mean=float("nan"), low=float("nan"), high=float("nan"), patients=0, cases=0)


def clustered_mean(values: ArrayLike, patients: Sequence[str], bootstrap: Bootstrap) -> Estimate:
    """Mean of per-case `values` (n,) with an interval from resampling whole patients (n,); NaN values are left out."""
    numbers, owners = _finite(values, patients)
    if not numbers.size:
        return NOTHING
    codes, names = pd.factorize(owners)
    low, high = _bounds(_resampled_means(numbers, codes, len(names), bootstrap), len(names), bootstrap)
    return Estimate(mean=float(numbers.mean()), low=low, high=high, patients=len(names), cases=numbers.size)


def clustered_gap(
    first: tuple[ArrayLike, Sequence[str]], second: tuple[ArrayLike, Sequence[str]], bootstrap: Bootstrap
) -> Estimate:
    """Mean of `first` minus mean of `second`, each (values, patients), when the same patients may stand in both.

    The patients of both are resampled together, so that what they share does not widen the interval.
    """
    numbers_a, owners_a = _finite(*first)
    numbers_b, owners_b = _finite(*second)
    if not (numbers_a.size and numbers_b.size):
        return NOTHING
    codes, names = pd.factorize(np.concatenate([owners_a, owners_b]))
    means_a = _resampled_means(numbers_a, codes[: numbers_a.size], len(names), bootstrap)
    means_b = _resampled_means(numbers_b, codes[numbers_a.size :], len(names), bootstrap)
    low, high = _bounds(means_a - means_b, min(len(set(owners_a)), len(set(owners_b))), bootstrap)
    gap = float(numbers_a.mean() - numbers_b.mean())
    return Estimate(mean=gap, low=low, high=high, patients=len(names), cases=numbers_a.size + numbers_b.size)


def paired_comparison(differences: ArrayLike, patients: Sequence[str], bootstrap: Bootstrap) -> Comparison:
    """Mean of paired per-case `differences` (n,), its interval, and Wilcoxon's signed-rank p.

    The test takes each patient's mean difference once: scans of one patient are not independent evidence.
    """
    numbers, owners = _finite(differences, patients)
    estimate = clustered_mean(numbers, list(owners), bootstrap)
    per_patient = pd.Series(numbers, dtype="float64").groupby(owners).mean().to_numpy()
    return Comparison(
        difference=estimate.mean,
        low=estimate.low,
        high=estimate.high,
        p=signed_rank(per_patient),
        patients=estimate.patients,
        cases=estimate.cases,
    )


def signed_rank(differences: ArrayLike) -> float:
    """Two-sided p of Wilcoxon's signed-rank test (exact for few pairs, by SciPy); 1 when no pair differs."""
    # Rounding: differences that are equal on paper must tie, whatever the order in which they were summed.
    numbers = np.round(np.asarray(differences, dtype=np.float64), 12)
    if numbers.size < 2:
        return float("nan")
    if not numbers.any():
        return 1.0
    return float(stats.wilcoxon(numbers).pvalue)


def holm(p_values: ArrayLike) -> Floats:
    """Holm's step-down adjusted p (Scand. J. Stat. 1979;6:65-70); NaN stays NaN and is no member of the family."""
    p = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full(p.shape, np.nan)
    order = np.argsort(p, kind="stable")[: int(np.isfinite(p).sum())]
    steps = p[order] * np.arange(order.size, 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


def _finite(values: ArrayLike, patients: Sequence[str]) -> tuple[Floats, NDArray[np.object_]]:
    numbers = np.asarray(values, dtype=np.float64)
    owners = np.asarray(patients, dtype=object)
    keep = np.isfinite(numbers)
    return numbers[keep], owners[keep]


@lru_cache(maxsize=64)
def _weights(patients: int, draws: int, seed: int) -> Floats:
    """How often each patient was drawn, (draws, patients)."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(patients, np.full(patients, 1.0 / patients), size=draws).astype(np.float64)


def _resampled_means(values: Floats, codes: NDArray[np.intp], patients: int, bootstrap: Bootstrap) -> Floats:
    sums = np.bincount(codes, weights=values, minlength=patients)
    counts = np.bincount(codes, minlength=patients).astype(np.float64)
    weights = _weights(patients, bootstrap.draws, bootstrap.seed)
    drawn = weights @ counts
    means = np.full(drawn.shape, np.nan)
    np.divide(weights @ sums, drawn, out=means, where=drawn > 0)
    return means


def _bounds(means: Floats, patients: int, bootstrap: Bootstrap) -> tuple[float, float]:
    usable = means[np.isfinite(means)]
    if patients < 2 or not usable.size:
        return float("nan"), float("nan")
    tail = _expanded_tail(patients, bootstrap.confidence)
    low, high = np.quantile(usable, [tail, 1.0 - tail])
    return float(low), float(high)


def _expanded_tail(patients: int, confidence: float) -> float:
    """Tail share of the expanded percentile interval: plain percentiles are too narrow for a few dozen patients.

    Phi(-sqrt(n / (n - 1)) * t), T. Hesterberg, "What Teachers Should Know About the Bootstrap", Am. Stat. 2015;69:371.
    """
    t = stats.t.ppf(0.5 + confidence / 2.0, patients - 1)
    return float(stats.norm.cdf(-np.sqrt(patients / (patients - 1.0)) * t))
