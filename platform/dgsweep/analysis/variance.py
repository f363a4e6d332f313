"""How much of the variance of a method's Dice comes from the seed, the fold, the hyperparameters and the patient."""

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dgsweep.analysis.frames import CASE, Level, annotate, case_values
from dgsweep.analysis.statistics import Floats
from dgsweep.plan.trial import Plan, content_id

Codes = NDArray[np.intp]
FACTORS = ("seed", "fold", "hyperparameters", "patient")
REST = "rest"
"""What no factor alone explains: interactions, such as a seed that is bad for some patients only."""
SHIFT = ["panel", "network", "arm", "source_set", "target"]
COMPONENTS = [*SHIFT, "component", "levels", "variance", "share", "said", "rows"]
"""`variance` in Dice squared, as estimated, which may fall below zero; `share` of the sum, negative ones taken as 0."""
_USED = {
    *("trial_id", "method", "setting", "label_ratio", "prompt", "panel", "network", "sources", "trial", "step"),
    *(*CASE, "empty_reference", "dice"),
}
SUMMARY = ["panel", "network", "arm", "component", "levels", "variance", "sd", "share", "shifts", "said"]


def variance_components(cases: pd.DataFrame, plan: Plan | None = None, *, by: Level = "domain") -> pd.DataFrame:
    """Variance components of each method's Dice on each target, from every finished trial and not the chosen ones.

    One value per trial and patient. A factor that was not varied, or that cannot be told apart from another (each fold
    with one patient), has no variance and `said` says why. Hyperparameters are levels by their values, seeds by number.
    """
    cases = cases[[name for name in cases.columns if name in _USED]]  # all trials' rows are many: fewer columns of them
    values = case_values(annotate(cases, plan), "dice")
    values = values[values["role"] == "target"].rename(columns={"patient_id": "patient"})
    levels = values["trial_id"].map(_levels(cases, plan))
    values = values.assign(hyperparameters=levels, target=values[by])
    means = values.groupby([*SHIFT, "trial_id", *FACTORS], observed=True)["value"].mean().reset_index()
    rows = [
        {**dict(zip(SHIFT, map(str, key), strict=True)), **row}
        for key, part in means.groupby(SHIFT, sort=True, observed=True)
        for row in _of_shift(part)
    ]
    return pd.DataFrame(rows, columns=COMPONENTS)


def variance_summary(components: pd.DataFrame) -> pd.DataFrame:
    """Mean over shifts of what `variance_components` found, one row per method and component.

    Each over the shifts in which it has an estimate, whose number stands in `shifts`.
    """
    rows = []
    for key, part in components.groupby(["panel", "network", "arm"], sort=True, observed=True):
        total = float(part.groupby("component", observed=True)["variance"].mean().clip(lower=0).sum())
        for name in (*FACTORS, REST):
            own = part[part["component"] == name]
            variance = float(own["variance"].mean())
            known = math.isfinite(variance)
            rows.append({
                **dict(zip(("panel", "network", "arm"), map(str, key), strict=True)),
                "component": name,
                "levels": int(own["levels"].median()),
                "variance": variance,
                "sd": math.sqrt(max(variance, 0.0)) if known else math.nan,
                "share": max(variance, 0.0) / total if known and total > 0 else math.nan,
                "shifts": int(own["variance"].notna().sum()),
                "said": "; ".join(sorted(set(own["said"]) - {""})),
            })  # fmt: skip
    return pd.DataFrame(rows, columns=SUMMARY)


def moment_estimates(values: Floats, factors: Mapping[str, Codes]) -> dict[str, float]:
    """Variance components of crossed or nested random factors with unequal counts: Henderson's method I.

    Model: y = mu + sum of one random effect per factor + rest, all independent. With n_a values of mean y_a in level a,
    the N values give T_f = sum n_a y_a^2 for each factor, T_0 = N ybar^2 and T = sum y^2, whose expectations are linear
    in N mu^2, the components s_g and the rest e:
    E T_f = N mu^2 + sum_g s_g sum_a sum_b n_ab^2 / n_a + e (levels of f), with f one level for T_0 and N for T.
    These equations are solved for the components, which may come out below zero.
    C. R. Henderson, Biometrics 1953;9:226-252; S. Searle, G. Casella, C. McCulloch, Variance Components, 1992, ch. 5.

    Args:
        values: One value per observation (n,).
        factors: Name -> code of the level of each observation (n,).

    Returns:
        Factor -> component, and `rest`; all NaN where the factors cannot be told apart.
    """
    groups = {"": np.zeros(values.size, dtype=np.intp), **factors, REST: np.arange(values.size)}
    unknowns = [name for name in groups if name]
    matrix = np.array([[1.0, *(_shared(of, groups[name]) for name in unknowns)] for of in groups.values()])
    centred = values - values.mean()
    sums = np.array([_between(centred, of) for of in groups.values()])
    if np.linalg.matrix_rank(matrix / values.size, tol=1e-9) < len(matrix):
        return dict.fromkeys(unknowns, math.nan)
    solved = np.linalg.solve(matrix, sums)
    return dict(zip(unknowns, map(float, solved[1:]), strict=True))


def _levels(cases: pd.DataFrame, plan: Plan | None) -> dict[str, str]:
    """Trial id -> its hyperparameters: trials of other seeds and folds have the same ones under one name."""
    if plan is None:
        return {str(key): str(trial) for key, trial in zip(cases["trial_id"], cases["trial"], strict=True)}
    return {spec.trial_id: content_id([dict(spec.hp), dict(spec.training)]) for spec in plan.trials}


def _of_shift(part: pd.DataFrame) -> list[dict[str, object]]:
    codes = {name: pd.factorize(part[name])[0] for name in FACTORS}
    levels = {name: int(own.max()) + 1 for name, own in codes.items()}
    said = _why_not(codes, levels)
    used = {name: own for name, own in codes.items() if not said[name]}
    values = part["value"].to_numpy(dtype=np.float64)
    found = dict.fromkeys(codes, math.nan) | {REST: math.nan} | (_solved(values, used) if used else {})
    if not used or not any(math.isfinite(one) for one in found.values()):
        said = {name: text or "cannot be told apart from the rest" for name, text in said.items()}
    total = sum(max(one, 0.0) for one in found.values() if math.isfinite(one))
    return [
        {
            "component": name,
            "levels": levels.get(name, len(part)),
            "variance": variance,
            "share": max(variance, 0.0) / total if math.isfinite(variance) and total > 0 else math.nan,
            "said": said.get(name, ""),
            "rows": len(part),
        }
        for name, variance in found.items()
    ]


def _solved(values: Floats, used: Mapping[str, Codes]) -> dict[str, float]:
    finest = max(int(own.max()) + 1 for own in used.values())
    return dict.fromkeys(used, math.nan) if finest == values.size else moment_estimates(values, used)


def _why_not(codes: Mapping[str, Codes], levels: Mapping[str, int]) -> dict[str, str]:
    """Why a factor has no component of its own, or ''."""
    said = {name: "" if levels[name] > 1 else "not varied" for name in codes}
    for name in reversed(FACTORS):
        for other in FACTORS[: FACTORS.index(name)]:
            if not (said[name] or said[other]) and _same_groups(codes[name], codes[other]):
                said[other] = f"cannot be told apart from {name}"
    return said


def _same_groups(first: Codes, second: Codes) -> bool:
    both = len(np.unique(first * (int(second.max()) + 1) + second))  # a number for each pair
    return both == len(np.unique(first)) == len(np.unique(second))


def _between(values: Floats, of: Codes) -> float:
    """T of a factor: sum over its levels of n_a times the squared mean."""
    counts = np.bincount(of)
    return float((np.bincount(of, weights=values) ** 2 / counts).sum())


def _shared(of: Codes, by: Codes) -> float:
    """Sum over levels a of one factor and b of another of n_ab^2 / n_a: what a component adds to E T, less the mean."""
    pairs, counts = np.unique(of.astype(np.int64) * (int(by.max()) + 1) + by, return_counts=True)
    return float((counts**2 / np.bincount(of)[pairs // (int(by.max()) + 1)]).sum())
