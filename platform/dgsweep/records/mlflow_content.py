"""What MLflow shows of a trial, computed from the ledger's rows alone; imports no mlflow."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from dgsweep.plan.trial import TrialSpec
from dgsweep.records.mlflow_names import curve_name, safe_name

METRICS = ("dice", "hd95_mm", "assd_mm", "nsd", "volume_error")
AGGREGATES = {"in_domain": "in_domain", "target": "target", "val": "source_val"}
"""role -> name of its mean over all domains."""
MAX_TEXT = 5000
"""Characters of a parameter or tag; below the limit of every MLflow 3 server."""


def trial_tags(spec: TrialSpec) -> dict[str, str]:
    """Tags by which runs are searched and grouped."""
    plain = {
        "method": spec.method,
        "setting": spec.setting.label(),
        "network": spec.network,
        "sources": "+".join(sorted(spec.sources)),
        "targets": "+".join(sorted(spec.targets)),
        "fold": spec.fold,
        "seed": spec.seed,
        "trial": spec.trial,
        "trial_id": spec.trial_id,
        "cell_id": spec.cell_id,
        "panel": spec.panel,
    }
    return {f"dgsweep.{key}": str(value)[:MAX_TEXT] for key, value in plain.items()}


def trial_params(spec: TrialSpec) -> dict[str, str]:
    """Parameters: only what the trial id rests on, since MLflow never lets a parameter change."""
    plain: dict[str, Any] = {
        "method": spec.method,
        "network": spec.network,
        "sources": spec.sources_label,
        "fold": spec.fold,
        "seed": spec.seed,
        "budget_steps": spec.budget_steps,
        "patch": spec.preprocessing.patch,
        "spacing_mm": spec.preprocessing.spacing_mm,
        "label_ratio": spec.setting.label_ratio,
        **{f"hp.{key}": value for key, value in spec.hp.items()},
        **{f"training.{key}": value for key, value in spec.training.items()},
    }
    return {safe_name(key): str(value)[:MAX_TEXT] for key, value in plain.items()}


def trial_metrics(cases: pd.DataFrame, provenance: Mapping[str, Any]) -> dict[str, float]:
    """Means over cases at the last step, by domain, by sequence and by role, and what the trial cost.

    A case counts once, with the mean over its structures. Cases with an empty reference are counted, not averaged.
    `<metric>/<sequence>` is over target cases where the sequence has any, over in-domain cases otherwise.
    """
    values = _counts(cases) | _costs(provenance)
    if len(cases) == 0:
        return values
    last = cases[(cases["step"] == cases["step"].max()) & ~cases["empty_reference"].astype(bool)]
    keys = ["role", "domain", "sequence", "case_id"]
    per_case = last.groupby(keys)[list(METRICS)].mean().reset_index()
    for name, rows in _groups(per_case).items():
        means = rows[list(METRICS)].mean().dropna()
        values |= {safe_name(f"{metric}/{name}"): float(mean) for metric, mean in means.items()}
    return values


def curve_points(curves: pd.DataFrame) -> dict[str, dict[int, float]]:
    """Curves by MLflow name: step -> value; values that are not finite are left out."""
    points: dict[str, dict[int, float]] = {}
    for row in curves[curves["value"].abs() < float("inf")].to_dict("records"):
        name = curve_name(str(row["role"]), str(row["domain"]), str(row["metric"]))
        points.setdefault(name, {})[int(row["step"])] = float(row["value"])
    return points


def _groups(per_case: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Name -> rows. A domain or sequence called like an aggregate, or like another group, gets a longer name."""
    groups = {name: per_case[per_case["role"] == role] for role, name in AGGREGATES.items()}
    scored = per_case[per_case["role"] != "val"]
    for domain, rows in _by(scored, "domain"):
        groups[f"domain {domain}" if domain in groups else domain] = rows
    for sequence, rows in _by(scored, "sequence"):
        target = rows[rows["role"] == "target"]
        groups[f"sequence {sequence}" if sequence in groups else sequence] = target if len(target) else rows
    return {name: rows for name, rows in groups.items() if len(rows)}


def _by(rows: pd.DataFrame, column: str) -> list[tuple[str, pd.DataFrame]]:
    return [(str(name), part) for name, part in rows.groupby(column)]


def _counts(cases: pd.DataFrame) -> dict[str, float]:
    roles = cases.groupby("role")["case_id"].nunique()
    counts = {f"cases/{AGGREGATES.get(str(role), str(role))}": float(count) for role, count in roles.items()}
    for flag in ("empty_prediction", "empty_reference", "distance_penalised"):
        counts[f"rows/{flag}"] = float(cases[flag].astype(bool).sum())
    return counts


def _costs(provenance: Mapping[str, Any]) -> dict[str, float]:
    numbers = {key: value for key, value in provenance.items() if isinstance(value, int | float)}
    return {safe_name(f"cost/{key}"): float(value) for key, value in numbers.items() if not isinstance(value, bool)}
