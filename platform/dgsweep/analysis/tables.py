"""The tables of a report. Every mean carries its patient-clustered interval and the number of patients and cases."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict

import numpy as np
import pandas as pd

from dgsweep.analysis.frames import (
    IN_DOMAIN,
    ROW,
    Level,
    annotate,
    case_values,
    is_baseline,
    over_repeats,
    with_targets,
)
from dgsweep.analysis.selection import last_step
from dgsweep.analysis.statistics import Bootstrap, Estimate, clustered_mean, holm, paired_comparison
from dgsweep.plan.trial import Plan

ESTIMATE = ["mean", "low", "high", "patients", "cases"]
MATRIX = [*ROW, "role", "target", *ESTIMATE, "repeats", "repeat_low", "repeat_high"]
PAIRED = [
    *["difference", "difference_low", "difference_high", "p", "p_holm", "p_t", "p_t_holm", "effect_dz"],
    *["paired_patients", "paired_cases"],
]
"""`p`: Wilcoxon's signed-rank test; `p_t`: paired t test; `effect_dz`: Cohen's d_z; all over patients."""
COMPARISON = [*ROW, "role", "target", *ESTIMATE, *PAIRED]
DISTANCE = [
    *[*ROW, "role", "target", "metric", "mean", "low", "high"],
    *["found_mean", "found_low", "found_high", "found_median", "cases", "patients", "structures", "penalised"],
]
"""`structures` counts one structure of one case in one training, of which `penalised` have no distance."""
EMPTY = [*ROW, "target", "cases", "patients", "structures", "left_empty", "false_positives"]
"""`structures` as above; `left_empty` and `false_positives` add up to it."""
ALL_SHIFTS = "all shifts"
ALL_SOURCES = "all source sets"
DEFAULT = Bootstrap()


def matrix(
    cases: pd.DataFrame,
    plan: Plan | None = None,
    *,
    by: Level = "sequence",
    metric: str = "dice",
    bootstrap: Bootstrap = DEFAULT,
) -> pd.DataFrame:
    """Source x target means, one row per cell of the matrix, with interval, patients, cases and repeats.

    `cases` are rows of one trial per cell (`selection.selected_cases`); `by` is `sequence` or `domain`. `repeat_low`
    and `repeat_high` are the lowest and highest mean of one training (a fold and seed): a range, not an interval.
    """
    return _matrix_of(case_values(annotate(cases, plan), metric), by, bootstrap)


def _matrix_of(values: pd.DataFrame, by: Level, bootstrap: Bootstrap) -> pd.DataFrame:
    keys = [*ROW, "role", "target"]
    values = with_targets(values, by)
    ranges = _ranges_over_repeats(values, keys)
    rows = [
        {**key, **asdict(_mean(part, bootstrap)), **ranges[tuple(key.values())]}
        for key, part in _parts(over_repeats(values), keys)
    ]
    return in_reading_order(pd.DataFrame(rows, columns=MATRIX))


def method_table(
    cases: pd.DataFrame,
    plan: Plan | None = None,
    *,
    by: Level = "sequence",
    metric: str = "dice",
    bootstrap: Bootstrap = DEFAULT,
) -> pd.DataFrame:
    """Method x shift: mean with interval, paired difference to ERM with interval, and p, Holm-corrected.

    Differences are taken case by case between trainings on the same sources, fold and seed with the same network.
    A family of tests is the shifts of a panel, or its in-domain columns.
    """
    values = with_targets(case_values(annotate(cases, plan), metric), by)
    return _compared(values, [*ROW, "role", "target"], bootstrap)


def method_summary(
    cases: pd.DataFrame, plan: Plan | None = None, *, metric: str = "dice", bootstrap: Bootstrap = DEFAULT
) -> pd.DataFrame:
    """Two rows per method, in-domain and over all shifts, in the columns of `method_table`; every case counts once."""
    values = with_targets(case_values(annotate(cases, plan), metric), "sequence")
    values["target"] = np.where(values["role"] == "in_domain", IN_DOMAIN, ALL_SHIFTS)
    return _compared(values, ["panel", "network", "arm", "role", "target"], bootstrap).assign(source_set=ALL_SOURCES)


def distance_table(
    cases: pd.DataFrame,
    plan: Plan | None = None,
    *,
    metrics: Sequence[str],
    by: Level = "sequence",
    bootstrap: Bootstrap = DEFAULT,
) -> pd.DataFrame:
    """Distances in mm over every case (misses at their penalty) and over found cases only, side by side with counts."""
    rows = last_step(annotate(cases, plan))
    rows = rows[rows["role"].isin(["in_domain", "target"]) & ~rows["empty_reference"].astype(bool)]
    rows = with_targets(rows.assign(distance_penalised=rows["distance_penalised"].astype(bool)), by)
    tables = [_distances_of(rows, metric, bootstrap) for metric in metrics]
    return in_reading_order(pd.concat(tables, ignore_index=True)) if tables else pd.DataFrame(columns=DISTANCE)


def empty_references(cases: pd.DataFrame, plan: Plan | None = None) -> pd.DataFrame:
    """Cases whose reference is empty, in their own row: how many stayed empty, how many got a false structure."""
    rows = last_step(annotate(cases, plan))
    rows = rows[rows["empty_reference"].astype(bool) & rows["role"].isin(["in_domain", "target"])]
    found = [{**key, **_empty_counts(part)} for key, part in _parts(rows.assign(target=rows["domain"]), EMPTY[:5])]
    return pd.DataFrame(found, columns=EMPTY)


def undefined_counts(cases: pd.DataFrame, plan: Plan | None = None) -> pd.DataFrame:
    """How many scored rows have no defined precision, recall or relative volume error, by method and network."""
    rows = last_step(annotate(cases, plan))
    rows = rows[rows["role"].isin(["in_domain", "target"])]
    names = ["precision", "recall", "volume_error"]
    return rows[names].isna().groupby([rows["arm"], rows["network"]]).sum().reset_index()


def metric_matrix(
    cases: pd.DataFrame,
    plan: Plan | None = None,
    *,
    metrics: Sequence[str],
    by: Level = "sequence",
    bootstrap: Bootstrap = DEFAULT,
) -> pd.DataFrame:
    """`matrix` of several metrics below each other, with the metric's name in front; undefined values are left out."""
    rows = annotate(cases, plan)
    parts = [_matrix_of(case_values(rows, name), by, bootstrap).assign(metric=name) for name in metrics]
    table = pd.concat(parts, ignore_index=True)
    return table[["metric", *MATRIX]]


def in_reading_order(table: pd.DataFrame) -> pd.DataFrame:
    """Rows sorted by panel and name, the baseline before the methods that are compared with it."""
    by = [name for name in [*ROW, "role", "target"] if name in table]
    return table.sort_values(by, key=_reading_key, kind="stable").reset_index(drop=True)


def _reading_key(column: pd.Series) -> pd.Series:
    if column.name == "arm":
        return column.map(lambda arm: f"{' ' if is_baseline(arm) else '~'}{arm}")
    first = {"panel": "main", "target": IN_DOMAIN}.get(str(column.name), "")
    return column.map(lambda text: "" if text == first else f"~{text}")


def _parts(table: pd.DataFrame, keys: list[str]) -> Iterator[tuple[dict[str, str], pd.DataFrame]]:
    for key, part in table.groupby(keys, sort=True, observed=True, dropna=False):
        yield {name: str(value) for name, value in zip(keys, key, strict=True)}, part


def _mean(means: pd.DataFrame, bootstrap: Bootstrap) -> Estimate:
    """Of one value a case."""
    return clustered_mean(means["value"], list(means["patient_id"]), bootstrap)


def _ranges_over_repeats(values: pd.DataFrame, keys: list[str]) -> dict[tuple[str, ...], dict[str, float]]:
    """Lowest and highest mean of one training, and how many there are, for each row of a matrix."""
    means = values.groupby([*keys, "fold", "seed"], observed=True)["value"].mean()
    ranges = means.groupby(level=keys, observed=True).agg(["size", "min", "max"])
    return {
        tuple(map(str, key)): {"repeats": int(row[0]), "repeat_low": float(row[1]), "repeat_high": float(row[2])}
        for key, row in zip(ranges.index, ranges.to_numpy(), strict=True)
    }


def _compared(values: pd.DataFrame, keys: list[str], bootstrap: Bootstrap) -> pd.DataFrame:
    differences = over_repeats(_paired_with_baseline(values))
    paired = {tuple(key.values()): part for key, part in _parts(differences, keys)}
    rows = []
    for key, part in _parts(over_repeats(values), keys):
        ours = paired.get(tuple(key.values()), differences.iloc[:0])
        rows.append({**key, **asdict(_mean(part, bootstrap)), **_paired_columns(ours, bootstrap)})
    table = pd.DataFrame(rows, columns=COMPARISON)
    # Shifts are one family of questions and in-domain columns another, in each panel.
    for _, family in table.groupby(["panel", "role"], observed=True):
        for name in ("p", "p_t"):
            table.loc[family.index, f"{name}_holm"] = holm(family[name].to_numpy(dtype=float))
    return in_reading_order(table)


def _paired_with_baseline(values: pd.DataFrame) -> pd.DataFrame:
    """Per-case differences to the baseline trained on the same sources, fold and seed; none for the baseline itself."""
    on = ["group", "source_set", "fold", "seed", "role", "target", "domain", "case_id"]
    baseline = values[values["baseline"]].sort_values("arm").drop_duplicates(on)
    others = values[~values["baseline"]]
    pairs = others.merge(baseline[[*on, "value"]], on=on, suffixes=("", "_baseline"))
    return pairs.assign(value=pairs["value"] - pairs["value_baseline"])


def _paired_columns(cases: pd.DataFrame, bootstrap: Bootstrap) -> dict[str, float]:
    found = paired_comparison(cases["value"], list(cases["patient_id"]), bootstrap)
    tests = (found.p, float("nan"), found.p_t, float("nan"), found.effect)
    numbers = (found.difference, found.low, found.high, *tests, found.patients, found.cases)
    return dict(zip(PAIRED, numbers, strict=True))


def _distances_of(rows: pd.DataFrame, metric: str, bootstrap: Bootstrap) -> pd.DataFrame:
    found = [
        {**key, "metric": metric, **_distance_columns(part, metric, bootstrap)}
        for key, part in _parts(rows, [*ROW, "role", "target"])
    ]
    return pd.DataFrame(found, columns=DISTANCE)


def _distance_columns(part: pd.DataFrame, metric: str, bootstrap: Bootstrap) -> dict[str, float]:
    hits = part[~part["distance_penalised"]]
    every = clustered_mean(part[metric], list(part["patient_id"]), bootstrap)
    found = clustered_mean(hits[metric], list(hits["patient_id"]), bootstrap)
    return {
        **{"mean": every.mean, "low": every.low, "high": every.high, "patients": every.patients},
        **{"found_mean": found.mean, "found_low": found.low, "found_high": found.high},
        "found_median": float(hits[metric].median()),
        "cases": part["case_id"].nunique(),
        "structures": len(part),
        "penalised": int(part["distance_penalised"].sum()),
    }


def _empty_counts(part: pd.DataFrame) -> dict[str, int]:
    empty = part["empty_prediction"].astype(bool)
    return {
        "cases": part["case_id"].nunique(),
        "structures": len(part),
        "patients": part["patient_id"].nunique(),
        "left_empty": int(empty.sum()),
        "false_positives": int((~empty).sum()),
    }
