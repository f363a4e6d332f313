"""How a method does at its worst, how often it collapses, and how much it loses outside its own domains."""

import math
from dataclasses import asdict

import numpy as np
import pandas as pd

from dgsweep.analysis.frames import annotate, case_values, over_repeats, with_targets
from dgsweep.analysis.selection import last_step
from dgsweep.analysis.statistics import (
    NOTHING,
    Bootstrap,
    Estimate,
    clustered_gap,
    clustered_mean,
    finite,
    interval_of,
    resampled_means,
)
from dgsweep.analysis.tables import ALL_SOURCES, DEFAULT
from dgsweep.plan.trial import Plan

COLLAPSED = 0.1
"""A case below this Dice has collapsed: the structure was not found in any useful sense."""
METHOD = ["panel", "network", "arm"]
ROBUSTNESS = [
    *[*METHOD, "shifts", "mean_over_shifts", "worst_shift", "worst", "worst_low", "worst_high", "worst_patients"],
    *["collapsed", "collapsed_low", "collapsed_high", "cases", "patients", "empty", "structures"],
]
"""`collapsed`: share of target cases below COLLAPSED; `empty` of `structures` have an empty prediction, each training
counted; `mean_over_shifts`: each pair of source set and target domain counts once."""
GAP = [
    *[*METHOD, "source_set", "in_domain", "target"],
    *["gap_absolute", "absolute_low", "absolute_high", "gap_relative", "relative_low", "relative_high"],
    *["in_domain_patients", "target_patients"],
]
"""`gap_absolute`: in-domain minus target mean Dice; `gap_relative`: that over the in-domain mean (1 = all is lost)."""


def robustness_table(cases: pd.DataFrame, plan: Plan | None = None, *, bootstrap: Bootstrap = DEFAULT) -> pd.DataFrame:
    """One row per method: mean and worst over shifts (source set, target domain), collapse rate, empty predictions."""
    rows = last_step(annotate(cases, plan))
    rows = rows[(rows["role"] == "target") & ~rows["empty_reference"].astype(bool)]
    values = with_targets(case_values(rows, "dice"), "domain")
    found = [
        {
            **dict(zip(METHOD, map(str, key), strict=True)),
            **_worst(part, bootstrap),
            **_collapse(part, bootstrap),
            **_empty(rows, key),
        }
        for key, part in values.groupby(METHOD, sort=True, observed=True)
    ]
    return pd.DataFrame(found, columns=ROBUSTNESS)


def generalization_gap(
    cases: pd.DataFrame, plan: Plan | None = None, *, bootstrap: Bootstrap = DEFAULT
) -> pd.DataFrame:
    """Each method's own loss from its source domains to all of its targets, absolute and relative, by source set.

    A first row a method pools the source sets that have both. Patients of both sides are drawn together.
    """
    values = with_targets(case_values(annotate(cases, plan), "dice"), "domain")
    rows = [
        row
        for key, part in values.groupby(METHOD, sort=True, observed=True)
        for row in _gaps(dict(zip(METHOD, map(str, key), strict=True)), part, bootstrap)
    ]
    return pd.DataFrame(rows, columns=GAP)


def relative_gap(
    first: tuple[np.ndarray, list[str]], second: tuple[np.ndarray, list[str]], bootstrap: Bootstrap
) -> tuple[float, float, float]:
    """1 - mean of `second` / mean of `first`, each (values, patients), with its interval; NaN where `first` is zero."""
    (numbers_a, owners_a), (numbers_b, owners_b) = finite(*first), finite(*second)
    if not (numbers_a.size and numbers_b.size) or numbers_a.mean() <= 0:
        return math.nan, math.nan, math.nan
    codes, names = pd.factorize(np.concatenate([owners_a, owners_b]))
    means_a = resampled_means(numbers_a, codes[: numbers_a.size], len(names), bootstrap)
    means_b = resampled_means(numbers_b, codes[numbers_a.size :], len(names), bootstrap)
    ratios = np.divide(means_b, means_a, out=np.full(means_a.shape, np.nan), where=means_a > 0)
    low, high = interval_of(1.0 - ratios, min(len(set(owners_a)), len(set(owners_b))), bootstrap)
    return float(1.0 - numbers_b.mean() / numbers_a.mean()), low, high


def _worst(part: pd.DataFrame, bootstrap: Bootstrap) -> dict[str, object]:
    means = over_repeats(part)
    shifts: dict[str, Estimate] = {
        f"{key[0]} → {key[1]}": clustered_mean(own["value"], list(own["patient_id"]), bootstrap)
        for key, own in means.groupby(["source_set", "target"], sort=True, observed=True)
    }
    name, worst = min(shifts.items(), key=lambda item: item[1].mean, default=("", NOTHING))
    return {
        "shifts": len(shifts),
        "mean_over_shifts": float(np.mean([shift.mean for shift in shifts.values()])),
        "worst_shift": name,
        "worst": worst.mean,
        "worst_low": worst.low,
        "worst_high": worst.high,
        "worst_patients": worst.patients,
    }


def _collapse(part: pd.DataFrame, bootstrap: Bootstrap) -> dict[str, object]:
    below = over_repeats(part.assign(value=(part["value"] < COLLAPSED).astype(float)))
    found = asdict(clustered_mean(below["value"], list(below["patient_id"]), bootstrap))
    names = {"mean": "collapsed", "low": "collapsed_low", "high": "collapsed_high"}
    return {names.get(key, key): value for key, value in found.items()} | {"cases": part["case_id"].nunique()}


def _empty(rows: pd.DataFrame, key: tuple[object, ...]) -> dict[str, int]:
    own = rows[pd.MultiIndex.from_frame(rows[METHOD]) == key]
    return {"empty": int(own["empty_prediction"].astype(bool).sum()), "structures": len(own)}


def _gaps(named: dict[str, str], part: pd.DataFrame, bootstrap: Bootstrap) -> list[dict[str, object]]:
    roles = part.groupby("source_set", observed=True)["role"].nunique()
    both = part[part["source_set"].isin(roles[roles > 1].index)]
    if both.empty:
        return []
    sets = [(str(name), own) for name, own in both.groupby("source_set", sort=True, observed=True)]
    every = [(ALL_SOURCES, both)] if len(sets) > 1 else []
    return [{**named, "source_set": name, **_gap(own, bootstrap)} for name, own in [*every, *sets]]


def _gap(part: pd.DataFrame, bootstrap: Bootstrap) -> dict[str, object]:
    means = over_repeats(part)
    home, away = means[means["role"] == "in_domain"], means[means["role"] == "target"]
    pair = (home["value"].to_numpy(), list(home["patient_id"])), (away["value"].to_numpy(), list(away["patient_id"]))
    gap, relative = clustered_gap(*pair, bootstrap), relative_gap(*pair, bootstrap)
    return {
        "in_domain": float(home["value"].mean()),
        "target": float(away["value"].mean()),
        "gap_absolute": gap.mean,
        "absolute_low": gap.low,
        "absolute_high": gap.high,
        **dict(zip(("gap_relative", "relative_low", "relative_high"), relative, strict=True)),
        "in_domain_patients": home["patient_id"].nunique(),
        "target_patients": away["patient_id"].nunique(),
    }
