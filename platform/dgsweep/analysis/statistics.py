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
    """A mean paired difference, its interval, and two-sided tests over patients (NaN below two patients)."""

    difference: float
    low: float
    high: float
    p: float
    """Of Wilcoxon's signed-rank test."""
    p_t: float
    """Of the paired t test."""
    effect: float
    """Cohen's d_z."""
    patients: int
    cases: int


NOTHING = Estimate(mean=float("nan"), low=float("nan"), high=float("nan"), patients=0, cases=0)


def clustered_mean(values: ArrayLike, patients: Sequence[str], bootstrap: Bootstrap) -> Estimate:
    """Mean of per-case `values` (n,) with an interval from resampling whole patients (n,); NaN values are left out."""
    numbers, owners = finite(values, patients)
    if not numbers.size:
        return NOTHING
    codes, names = pd.factorize(owners)
    low, high = interval_of(resampled_means(numbers, codes, len(names), bootstrap), len(names), bootstrap)
    return Estimate(mean=float(numbers.mean()), low=low, high=high, patients=len(names), cases=numbers.size)


def clustered_gap(
    first: tuple[ArrayLike, Sequence[str]], second: tuple[ArrayLike, Sequence[str]], bootstrap: Bootstrap
) -> Estimate:
    """Mean of `first` minus mean of `second`, each (values, patients), when the same patients may stand in both.

    The patients of both are resampled together, so that what they share does not widen the interval.
    """
    numbers_a, owners_a = finite(*first)
    numbers_b, owners_b = finite(*second)
    if not (numbers_a.size and numbers_b.size):
        return NOTHING
    codes, names = pd.factorize(np.concatenate([owners_a, owners_b]))
    means_a = resampled_means(numbers_a, codes[: numbers_a.size], len(names), bootstrap)
    means_b = resampled_means(numbers_b, codes[numbers_a.size :], len(names), bootstrap)
    low, high = interval_of(means_a - means_b, min(len(set(owners_a)), len(set(owners_b))), bootstrap)
    gap = float(numbers_a.mean() - numbers_b.mean())
    return Estimate(mean=gap, low=low, high=high, patients=len(names), cases=numbers_a.size + numbers_b.size)


def paired_comparison(differences: ArrayLike, patients: Sequence[str], bootstrap: Bootstrap) -> Comparison:
    """Mean of paired per-case `differences` (n,), its interval, Wilcoxon's signed-rank p, paired t p, and Cohen's d_z.

    Each takes each patient's mean difference once: scans of one patient are not independent evidence.
    """
    numbers, owners = finite(differences, patients)
    estimate = clustered_mean(numbers, list(owners), bootstrap)
    per_patient = pd.Series(numbers, dtype="float64").groupby(owners).mean().to_numpy()
    return Comparison(
        difference=estimate.mean,
        low=estimate.low,
        high=estimate.high,
        p=signed_rank(per_patient),
        p_t=paired_t(per_patient),
        effect=effect_size(per_patient),
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


def paired_t(differences: ArrayLike) -> float:
    """Two-sided p of the paired t test (Student, Biometrika 1908;6:1); 1 when no pair differs, NaN without spread."""
    numbers = np.round(np.asarray(differences, dtype=np.float64), 12)
    if numbers.size < 2:
        return float("nan")
    if np.ptp(numbers) <= 1e-12:
        return float("nan") if numbers.any() else 1.0
    return float(stats.ttest_1samp(numbers, 0.0).pvalue)


def effect_size(differences: ArrayLike) -> float:
    """Cohen's d_z: mean of the differences over their standard deviation (n - 1); NaN where they have no spread.

    J. Cohen, Statistical Power Analysis for the Behavioral Sciences, 2nd ed. 1988, p. 48.
    """
    numbers = np.round(np.asarray(differences, dtype=np.float64), 12)
    if numbers.size < 2 or np.ptp(numbers) <= 1e-12:
        return float("nan")
    return float(numbers.mean() / numbers.std(ddof=1))


def holm(p_values: ArrayLike) -> Floats:
    """Holm's step-down adjusted p (Scand. J. Stat. 1979;6:65-70); NaN stays NaN and is no member of the family."""
    p = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full(p.shape, np.nan)
    order = np.argsort(p, kind="stable")[: int(np.isfinite(p).sum())]
    steps = p[order] * np.arange(order.size, 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


def mean_of_known(values: Floats) -> Floats:
    """Mean along the first axis without the NaNs; NaN where there is nothing else."""
    known = np.isfinite(values)
    sums, counts = np.where(known, values, 0.0).sum(axis=0), known.sum(axis=0)
    return np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)


def finite(values: ArrayLike, patients: Sequence[str]) -> tuple[Floats, NDArray[np.object_]]:
    """Values that are numbers, with their patients; both (n,)."""
    numbers = np.asarray(values, dtype=np.float64)
    owners = np.asarray(patients, dtype=object)
    keep = np.isfinite(numbers)
    return numbers[keep], owners[keep]


@lru_cache(maxsize=64)
def patient_weights(patients: int, draws: int, seed: int) -> Floats:
    """How often each patient was drawn, (draws, patients); the same for the same arguments. Not to be written to."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(patients, np.full(patients, 1.0 / patients), size=draws).astype(np.float64)


def resampled_means(values: Floats, codes: NDArray[np.intp], patients: int, bootstrap: Bootstrap) -> Floats:
    """Mean of `values` (n,) in each draw of whole patients, (draws,); NaN where no owner was drawn.

    `codes` (n,) number the owners among `patients`: what is given the same codes is drawn together.
    """
    sums = np.bincount(codes, weights=values, minlength=patients)
    counts = np.bincount(codes, minlength=patients).astype(np.float64)
    weights = patient_weights(patients, bootstrap.draws, bootstrap.seed)
    drawn = weights @ counts
    means = np.full(drawn.shape, np.nan)
    np.divide(weights @ sums, drawn, out=means, where=drawn > 0)
    return means


def interval_of(means: Floats, patients: int, bootstrap: Bootstrap) -> tuple[float, float]:
    """Expanded percentile interval of what was found in each draw (draws,); NaN below two patients."""
    usable = means[np.isfinite(means)]
    if patients < 2 or not usable.size:
        return float("nan"), float("nan")
    tail = _expanded_tail(patients, bootstrap.confidence)
    low, high = np.quantile(usable, [tail, 1.0 - tail])
    return float(low), float(high)


@lru_cache(maxsize=1024)
def _expanded_tail(patients: int, confidence: float) -> float:
    """Tail share of the expanded percentile interval: plain percentiles are too narrow for a few dozen patients.

    Phi(-sqrt(n / (n - 1)) * t), T. Hesterberg, "What Teachers Should Know About the Bootstrap", Am. Stat. 2015;69:371.
    """
    t = stats.t.ppf(0.5 + confidence / 2.0, patients - 1)
    return float(stats.norm.cdf(-np.sqrt(patients / (patients - 1.0)) * t))
