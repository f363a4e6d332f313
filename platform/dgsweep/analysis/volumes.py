"""Volumes: regression on the reference, Bland-Altman limits, and what a Dice leaves open about a volume."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from dgsweep.analysis.frames import ROW, Level, annotate, with_targets
from dgsweep.analysis.selection import last_step
from dgsweep.analysis.statistics import Bootstrap, Floats, clustered_mean, interval_of, patient_weights
from dgsweep.analysis.tables import DEFAULT, in_reading_order
from dgsweep.metrics.volume import volume_agreement
from dgsweep.plan.trial import Plan

VOLUMES = [
    *[*ROW, "role", "target", "label", "slope", "intercept_ml", "r2", "r2_low", "r2_high"],
    *["bias_ml", "bias_low", "bias_high", "limit_low", "limit_high"],
    *["absolute_error", "mean_bound", "beyond_bounds", "structures", "cases", "patients"],
]
"""Over each case of each training. `absolute_error`: mean |relative volume error|; `mean_bound`: mean over cases of the
largest |error| that their Dice allows; `beyond_bounds`: rows outside their own bounds, which no true pair of Dice and
volumes can be."""
ROUNDING = 1e-6


def volume_error_bounds(dice: ArrayLike) -> tuple[Floats, Floats]:
    """Least and largest relative volume error (P - R) / R that a Dice d in (0, 1] allows; (-1, inf) for d = 0.

    Let r = P / R be the ratio of the volumes and I the volume of the overlap, I <= min(P, R). Then d = 2 I / (P + R)
    <= 2 min(r, 1) / (r + 1). Where r <= 1 this is r >= d / (2 - d), and as
    d / (2 - d) = 2 / (2 - d) - 1, the error r - 1 >= 2 / (2 - d) - 2. Where r >= 1 it is r <= 2 / d - 1, so that the
    error <= 2 / d - 2. Both are reached when
    one mask holds the other. PanSegNet's equations 9 and 10 (Zhang et al., Med. Image Anal. 2025); its equations 13
    and 14 put the mean Dice into them, which is false because 2 / d is convex, and are not used.
    """
    d = np.asarray(dice, dtype=np.float64)
    high = np.divide(2.0, d, out=np.full(d.shape, np.inf), where=d > 0) - 2.0
    return 2.0 / (2.0 - d) - 2.0, high


def volume_table(
    cases: pd.DataFrame, plan: Plan | None = None, *, by: Level = "domain", bootstrap: Bootstrap = DEFAULT
) -> pd.DataFrame:
    """Predicted against reference volume of each method, source set, target and structure, in ml.

    R2 of the least-squares line of predicted on reference volume; Bland-Altman bias (predicted - reference) with
    intervals over patients, and 95 % limits of agreement of single cases. Cases with an empty reference are left out.
    """
    rows = volume_rows(cases, plan, by=by)
    found = [
        {**dict(zip(KEYS, map(str, key), strict=True)), **_agreement(part, bootstrap)}
        for key, part in rows.groupby(KEYS, sort=True, observed=True)
    ]
    return in_reading_order(pd.DataFrame(found, columns=VOLUMES))


def volume_rows(cases: pd.DataFrame, plan: Plan | None = None, *, by: Level = "domain") -> pd.DataFrame:
    """Scored rows with two volumes, annotated, with their `target`, and `error_low` and `error_high` of their Dice."""
    rows = last_step(annotate(cases, plan))
    rows = rows[rows["role"].isin(["in_domain", "target"]) & ~rows["empty_reference"].astype(bool)]
    rows = with_targets(rows[rows["volume_ml"].notna() & rows["volume_ref_ml"].notna()], by)
    low, high = volume_error_bounds(rows["dice"])
    return rows.assign(error_low=low, error_high=high)


KEYS = [*ROW, "role", "target", "label"]


def _agreement(part: pd.DataFrame, bootstrap: Bootstrap) -> dict[str, Any]:
    predicted, reference = (part[name].to_numpy(dtype=np.float64) for name in ("volume_ml", "volume_ref_ml"))
    patients = list(part["patient_id"])
    bias = clustered_mean(predicted - reference, patients, bootstrap)
    limits = volume_agreement(predicted, reference).limits if len(part) > 1 else (math.nan, math.nan)
    return {
        **_regression(predicted, reference, patients, bootstrap),
        "bias_ml": bias.mean,
        "bias_low": bias.low,
        "bias_high": bias.high,
        "limit_low": limits[0],
        "limit_high": limits[1],
        **_errors(part),
        "structures": len(part),
        "cases": part["case_id"].nunique(),
        "patients": bias.patients,
    }


def _errors(part: pd.DataFrame) -> dict[str, float]:
    error, low, high = (part[name].to_numpy(dtype=np.float64) for name in ("volume_error", "error_low", "error_high"))
    largest = np.maximum(-low, high)
    beyond = (error < low - ROUNDING) | (error > high + ROUNDING * np.maximum(1.0, high))
    known = error[np.isfinite(error)]
    return {
        "absolute_error": float(np.abs(known).mean()) if known.size else math.nan,
        "mean_bound": float(largest.mean()),
        "beyond_bounds": int(beyond.sum()),
    }


def _regression(y: Floats, x: Floats, patients: list[str], bootstrap: Bootstrap) -> Mapping[str, float]:
    names = ("slope", "intercept_ml", "r2", "r2_low", "r2_high")
    if x.size < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return dict.fromkeys(names, math.nan)
    line = stats.linregress(x, y)
    codes, owners = pd.factorize(np.asarray(patients, dtype=object))
    low, high = interval_of(_drawn_r2(x, y, codes, bootstrap), len(owners), bootstrap)
    return dict(zip(names, (line.slope, line.intercept, line.rvalue**2, low, high), strict=True))


def _drawn_r2(x: Floats, y: Floats, codes: NDArray[np.intp], bootstrap: Bootstrap) -> Floats:
    """Squared correlation in each draw of whole patients, from their sums; NaN where a side has no spread."""
    x, y = x - x.mean(), y - y.mean()
    weights = patient_weights(int(codes.max()) + 1, bootstrap.draws, bootstrap.seed)
    n, sx, sy, sxx, syy, sxy = (
        weights @ np.bincount(codes, weights=part) for part in (np.ones_like(x), x, y, x * x, y * y, x * y)
    )
    scale = (sxx - sx**2 / n) * (syy - sy**2 / n)
    return np.divide((sxy - sx * sy / n) ** 2, scale, out=np.full(n.shape, np.nan), where=scale > 1e-12)
