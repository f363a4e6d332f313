"""What a method cost against what it reached: hours and forward passes, its whole search included."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from dgsweep.records.steering import TrialCost, read_cost
from dgsweep.report.evidence import Evidence
from dgsweep.report.figures import PALETTE, Figure, figure_json
from dgsweep.report.observers import NOBODY, Observers, across, said
from dgsweep.report.panels import Panel
from dgsweep.report.texts import listed, method_name

HOUR_S = 3600.0
COLUMNS = ["arm", "network", "role", "dice", "low", "high", "hours", "unit", "forward_passes", "trials"]
_ROLES = {"in_domain": ("in-domain", "circle", PALETTE[5]), "target": ("all shifts", "diamond", PALETTE[4])}


def cost_and_quality(evidence: Evidence, main: Panel | None) -> pd.DataFrame:
    """COLUMNS, one row per method, network and role of the main panel's summary; NaN where a trial recorded no cost.

    Costs are sums over all ended trials of the method's cells, those that were not selected and pruned ones included.
    """
    if main is None or not len(main.summary):
        return pd.DataFrame(columns=COLUMNS)
    spent = _spent(evidence)
    unit = "GPU-hours" if any(one.gpu_s for one in spent.values()) else "core-hours"
    if not any(one.gpu_s or one.core_s for one in spent.values()):
        unit = "hours of training"
    groups = evidence.states.groupby(["arm", "network"])["trial_id"].agg(list).to_dict()
    rows = []
    for row in main.summary.to_dict("records"):
        ids = [key for key in groups.get((row["arm"], row["network"]), []) if key in evidence.provenance]
        rows.append(
            {
                **{name: row[name] for name in ("arm", "network", "role", "low", "high")},
                "dice": row["mean"],
                "hours": math.fsum(_hours(key, unit, spent, evidence) for key in ids) if ids else math.nan,
                "unit": unit,
                "forward_passes": math.fsum(_passes(evidence.provenance[key]) for key in ids) if ids else math.nan,
                "trials": len(ids),
            }
        )
    return pd.DataFrame(rows, columns=COLUMNS)


def cost_figures(table: pd.DataFrame, *, several_networks: bool, observers: Observers = NOBODY) -> list[Figure]:
    """Dice over hours, and over forward passes, each on a logarithmic axis; one that was not recorded is left out."""
    known = table[table["dice"].notna()]
    found = []
    for column in ("hours", "forward_passes"):
        part = known[(known[column] > 0) & known[column].notna()]
        if len(part):
            unit = str(part["unit"].iloc[0]) if column == "hours" else "forward passes of a batch"
            left_out = sorted(set(known["arm"]) - set(part["arm"]))
            found.append(_figure(column, unit, part, left_out, observers, several_networks=several_networks))
    return found


def _figure(
    column: str, unit: str, part: pd.DataFrame, left_out: list[str], observers: Observers, *, several_networks: bool
) -> Figure:
    figure = go.Figure()
    for role, own in part.groupby("role", sort=True):
        figure.add_trace(_trace(str(role), column, own, several_networks=several_networks))
    figure.update_layout(
        xaxis={"title": f"{unit}, all trials together", "type": "log"}, yaxis={"title": "Dice", "range": [-0.02, 1.05]}
    )
    across(figure, observers)
    described = "Bars: interval over patients. Cost counts every ended trial of the method, its search included."
    described += f" Not recorded for {listed(left_out)}." if left_out else ""
    described += said(observers)
    return Figure(key=f"cost-{column}", title=f"Dice against {unit}", description=described, json=figure_json(figure))


def _trace(role: str, column: str, own: pd.DataFrame, *, several_networks: bool) -> go.Scatter:
    name, symbol, colour = _ROLES[role]
    labels = [
        method_name(str(arm), str(network), several_networks=several_networks)
        for arm, network in zip(own["arm"], own["network"], strict=True)
    ]
    return go.Scatter(
        x=own[column].tolist(),
        y=own["dice"].tolist(),
        text=labels,
        mode="markers+text",
        textposition="top center",
        name=name,
        marker={"symbol": symbol, "color": colour, "size": 9},
        error_y={
            "type": "data",
            "array": (own["high"] - own["dice"]).fillna(0.0).tolist(),
            "arrayminus": (own["dice"] - own["low"]).fillna(0.0).tolist(),
            "thickness": 1.2,
        },
        hovertemplate="%{text}: %{x:.3g}, Dice %{y:.3f}<extra></extra>",
    )


def _spent(evidence: Evidence) -> Mapping[str, TrialCost]:
    ids: Sequence[str] = list(evidence.provenance)
    costs = evidence.ledger.each(lambda key: read_cost(evidence.ledger.paths(key)), ids)
    return dict(zip(ids, costs, strict=True))


def _hours(trial_id: str, unit: str, spent: Mapping[str, TrialCost], evidence: Evidence) -> float:
    found, cost = evidence.provenance[trial_id], spent[trial_id]
    wall = _real(found.get("train_wall_s", found.get("wall_s")))
    seconds = {"GPU-hours": cost.gpu_s or math.nan, "core-hours": cost.core_s or math.nan}.get(unit, wall)
    return seconds / HOUR_S


def _passes(found: Mapping[str, Any]) -> float:
    return _real(found.get("forward_passes"))


def _real(value: object) -> float:
    """NaN where nothing was recorded, so that no sum hides it."""
    return float(value) if isinstance(value, int | float) else math.nan
