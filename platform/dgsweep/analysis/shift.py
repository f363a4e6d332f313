"""Is a drop a shift? Sampling variance of the source, source against target, and the cost of each kind of shift.

The three questions are those of PancreasDG (arXiv 2507.23110): a mean over few patients varies by itself; performance
at home need not tell performance away; and a change of center is not a change of sequence.
"""

import math
from collections.abc import Iterator
from typing import Literal

import numpy as np
import pandas as pd
from scipy import stats

from dgsweep.analysis.frames import Level, annotate, case_values, over_repeats, with_targets
from dgsweep.analysis.statistics import Bootstrap, Floats, interval_of, mean_of_known, resampled_means
from dgsweep.analysis.tables import DEFAULT
from dgsweep.analysis.verdict import FEWEST_PATIENTS
from dgsweep.plan.trial import Plan

Word = Literal["shift", "within sampling variance", "better than the source", "too few patients"]
SAMPLING = [
    *["panel", "network", "arm", "source_set", "target", "source_mean", "target_mean", "band_low", "band_high"],
    *["word", "source_patients", "target_patients"],
]
"""The band holds the target means that sampling alone would give, without any shift."""
POINTS = ["panel", "network", "arm", "source_set", "source", "target", "source_patients", "target_patients"]
CORRELATION = ["panel", "measure", "value", "low", "high", "cells", "patients"]
FEWEST_CELLS = 5
"""A correlation of fewer cells is not given: with three points it is near 1 or -1 by chance."""
MODEL = ["panel", "network", "arm", "source_set"]


def sampling_variance(
    cases: pd.DataFrame, plan: Plan | None = None, *, by: Level = "domain", bootstrap: Bootstrap = DEFAULT
) -> pd.DataFrame:
    """For each method and shift: where the target's mean Dice would lie if the target were more of the source.

    In each of `bootstrap.draws` draws, as many patients as the target has are drawn from the source's test patients,
    and beside them as many as the source has; the difference of the two means is what sampling alone does to a drop.
    Patients are drawn with replacement: without it a target as large as the source would have a band of no width.
    The band is the source's mean plus the central `confidence` of these differences. Where the same patients stand on
    both sides the band is wider than need be, so `shift` is said too rarely rather than too often.
    """
    values = with_targets(case_values(annotate(cases, plan), "dice"), by)
    rows = [
        {**named, "target": str(target), **_sampled(home, away, bootstrap)}
        for named, part in _models(values)
        for home in (part[part["role"] == "in_domain"],)
        for target, away in part[part["role"] == "target"].groupby("target", sort=True, observed=True)
        if len(home)
    ]
    return pd.DataFrame(rows, columns=SAMPLING)


def source_and_target(cases: pd.DataFrame, plan: Plan | None = None) -> pd.DataFrame:
    """One point per method, network and source set: mean Dice in-domain, and mean over target domains."""
    values = with_targets(case_values(annotate(cases, plan), "dice"), "domain")
    rows = []
    for named, part in _models(values):
        home, away = part[part["role"] == "in_domain"], part[part["role"] == "target"]
        if len(home) and len(away):
            rows.append({
                **named,
                "source": float(home["value"].mean()),
                "target": float(away.groupby("target", observed=True)["value"].mean().mean()),
                "source_patients": home["patient_id"].nunique(),
                "target_patients": away["patient_id"].nunique(),
            })  # fmt: skip
    return pd.DataFrame(rows, columns=POINTS)


def source_target_correlation(
    cases: pd.DataFrame, plan: Plan | None = None, *, bootstrap: Bootstrap = DEFAULT
) -> pd.DataFrame:
    """Pearson's and Spearman's correlation of the points of `source_and_target`, by panel, with intervals.

    Each draw takes cells and patients anew, both with replacement (the pigeonhole bootstrap of A. Owen, Ann. Appl.
    Stat. 2007;1:386-411), because another sweep would have other cells and other patients. NaN below FEWEST_CELLS.
    """
    values = with_targets(case_values(annotate(cases, plan), "dice"), "domain")
    rows = [
        row for panel, part in values.groupby("panel", sort=True) for row in _correlations(str(panel), part, bootstrap)
    ]
    return pd.DataFrame(rows, columns=CORRELATION)


def _models(values: pd.DataFrame) -> Iterator[tuple[dict[str, str], pd.DataFrame]]:
    """One value per case of each method, network and source set."""
    for key, part in values.groupby(MODEL, sort=True, observed=True):
        yield dict(zip(MODEL, map(str, key), strict=True)), over_repeats(part)


def _sampled(home: pd.DataFrame, away: pd.DataFrame, bootstrap: Bootstrap) -> dict[str, object]:
    source_mean, target_mean = float(home["value"].mean()), float(away["value"].mean())
    few = away["patient_id"].nunique()
    codes, names = pd.factorize(home["patient_id"])
    low, high = _band(home["value"].to_numpy(dtype=np.float64), codes, (len(names), few), bootstrap)
    band = (source_mean + low, source_mean + high)
    return {
        "source_mean": source_mean,
        "target_mean": target_mean,
        "band_low": band[0],
        "band_high": band[1],
        "word": _word(target_mean, band, min(len(names), few)),
        "source_patients": len(names),
        "target_patients": few,
    }


def _band(values: Floats, codes: np.ndarray, patients: tuple[int, int], bootstrap: Bootstrap) -> tuple[float, float]:
    """Central `confidence` of (mean of as many patients as the target has) - (mean of as many as the source has)."""
    source, target = patients
    if source < 2:
        return math.nan, math.nan
    means = resampled_means(values, codes, source, bootstrap)
    sums, counts = np.bincount(codes, weights=values), np.bincount(codes).astype(np.float64)
    rng = np.random.default_rng([bootstrap.seed, 1])
    drawn = rng.multinomial(target, np.full(source, 1.0 / source), size=bootstrap.draws).astype(np.float64)
    # n / (n - 1): the spread of n patients is a little smaller than that of those they stand for.
    differences = ((drawn @ sums) / (drawn @ counts) - means) * math.sqrt(source / (source - 1.0))
    tail = 0.5 - bootstrap.confidence / 2.0
    low, high = np.quantile(differences, [tail, 1.0 - tail])
    return float(low), float(high)


def _word(target: float, band: tuple[float, float], patients: int) -> Word:
    if patients < FEWEST_PATIENTS:
        return "too few patients"
    if target < band[0]:
        return "shift"
    return "better than the source" if target > band[1] else "within sampling variance"


def _correlations(panel: str, part: pd.DataFrame, bootstrap: Bootstrap) -> list[dict[str, object]]:
    cells = [own for _, own in _models(part) if own["role"].nunique() > 1]
    people = pd.Index(sorted({name for own in cells for name in own["patient_id"]}))
    shared = {"panel": panel, "cells": len(cells), "patients": len(people)}
    if len(cells) < FEWEST_CELLS:
        nothing = {"value": math.nan, "low": math.nan, "high": math.nan}
        return [{**shared, "measure": name, **nothing} for name in ("pearson", "spearman") if cells]
    once = [_drawn_point(own, people, None) for own in cells]
    draws = [_drawn_point(own, people, bootstrap) for own in cells]
    x, y = (np.stack([point[axis] for point in draws], axis=1) for axis in (0, 1))
    chosen = np.random.default_rng([bootstrap.seed, 2]).integers(len(cells), size=x.shape)
    x, y = np.take_along_axis(x, chosen, axis=1), np.take_along_axis(y, chosen, axis=1)
    flat = np.array([[point[0][0] for point in once], [point[1][0] for point in once]])
    return [
        {**shared, "measure": "pearson", **_correlated(flat, x, y, bootstrap, len(people))},
        {**shared, "measure": "spearman", **_correlated(_ranked(flat), _ranked(x), _ranked(y), bootstrap, len(people))},
    ]


def _drawn_point(own: pd.DataFrame, people: pd.Index, bootstrap: Bootstrap | None) -> tuple[Floats, Floats]:
    """In-domain mean and mean over target domains in each draw of patients, or once as they are."""
    codes = people.get_indexer(pd.Index(own["patient_id"]))
    home = (own["role"] == "in_domain").to_numpy()
    values = own["value"].to_numpy(dtype=np.float64)
    targets = [((own["target"] == name) & ~home).to_numpy() for name in own.loc[~home, "target"].unique()]

    def mean(rows: np.ndarray) -> Floats:
        if bootstrap is None:
            return np.array([values[rows].mean()])
        return resampled_means(values[rows], codes[rows], len(people), bootstrap)

    return mean(home), mean_of_known(np.stack([mean(rows) for rows in targets]))


def _correlated(flat: Floats, x: Floats, y: Floats, bootstrap: Bootstrap, patients: int) -> dict[str, float]:
    low, high = interval_of(_pearson(x, y), min(patients, flat.shape[1]), bootstrap)
    return {"value": float(_pearson(flat[:1], flat[1:])[0]), "low": low, "high": high}


def _pearson(x: Floats, y: Floats) -> Floats:
    """Pearson's correlation along the last axis; NaN where one side has no spread."""
    x, y = x - x.mean(axis=-1, keepdims=True), y - y.mean(axis=-1, keepdims=True)
    scale = np.sqrt((x**2).sum(axis=-1) * (y**2).sum(axis=-1))
    return np.divide((x * y).sum(axis=-1), scale, out=np.full(scale.shape, np.nan), where=scale > 1e-12)


def _ranked(values: Floats) -> Floats:
    ranks: Floats = stats.rankdata(values, axis=-1, nan_policy="propagate")
    return ranks
