"""Ranks, worst targets, collapses, gaps and tests of one panel, for the page."""

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go

from dgsweep.analysis.ranks import MOST_SHIFTS_TOO_FEW, Difference, rank_differences
from dgsweep.analysis.robustness import COLLAPSED
from dgsweep.report.blocks import Section, Table, numbers_of, present, table, with_interval, words_of
from dgsweep.report.evidence import Evidence
from dgsweep.report.figures import Figure, figure_json
from dgsweep.report.panels import Panel
from dgsweep.report.texts import count, listed, number, p_value, signed

NOTES = (
    "Rank 1 is the best mean Dice on a shift (source set → target domain). Methods are ranked on cases that all of "
    "them scored; the interval draws whole patients and ranks anew, so it does not speak about other shifts.",
    f"Collapsed: share of target cases with Dice below {COLLAPSED:g}. Empty: predictions without any voxel of a "
    "structure that is there, each training counted. Distances with and without such misses stand under Distances.",
    "Gap: the method's own in-domain mean minus its target mean (absolute, in Dice), and that over its in-domain mean "
    "(relative, in per cent of what it had).",
)

NO_TARGET = "No target case has been scored, so there are no ranks, no worst target and no gap."


def rank_section(panel: Panel, evidence: Evidence) -> Section:
    """The section of one panel."""
    several = evidence.several_networks
    differences = rank_differences(panel.rows, evidence.plan, confidence=evidence.bootstrap.confidence)
    ranks = panel.statistics["ranks"]
    drawn = [_diagram(i, one, ranks, panel.key) for i, one in enumerate(differences) if len(one.methods) > 1]
    return Section(
        key="ranks",
        title="Ranks, worst target, gap",
        notes=(*NOTES, *(_said(one, several) for one in differences if one.methods)) if len(ranks) else (NO_TARGET,),
        tables=present(
            _rank_rows(ranks),
            _robust_rows(panel.statistics["robustness"]),
            _gap_rows(panel.statistics["generalization_gap"]),
            _test_rows(panel.table),
        ),
        figures=tuple(drawn),
        nothing=NO_TARGET,
    )


def _said(one: Difference, several: bool) -> str:
    where = f"{one.network}: " if several else ""
    if one.reach == "too few methods":
        return f"{where}No test of ranks: it needs three methods. See the paired comparison with ERM."
    if one.reach == "too few shifts":
        return (
            f"{where}No critical difference: {count(one.shifts, 'shift')} for {len(one.methods)} methods, and the test "
            f"wants more than {MOST_SHIFTS_TOO_FEW} (Demšar 2006). Ranks and their intervals stand without it."
        )
    apart = f"{where}Friedman's test over {one.shifts} shifts: p {_with_sign(one.p)}; Nemenyi's critical difference "
    alike = "; ".join(listed(list(names), 8) for names in one.alike)
    told = f" Not told apart: {alike}." if alike else " Every two methods are told apart."
    return (
        f"{apart}is {number(one.critical, 2)} ranks.{told} Shifts that share a model or patients are not independent, "
        "as the test takes them to be."
    )


def _with_sign(p: float) -> str:
    text = p_value(p)
    return text if text.startswith("<") else f"= {text}"


def _rank_rows(ranks: pd.DataFrame) -> Table | None:
    return table(
        "Mean rank over shifts",
        {
            "Method": words_of(ranks, "arm"),
            "Network": words_of(ranks, "network"),
            "Mean rank": [
                text if there else "not ranked: too few shifts"
                for text, there in zip(with_interval(ranks, ("rank", "low", "high"), 2), ranks["rank"] > 0, strict=True)
            ],
            "Mean Dice over shifts": numbers_of(ranks, "mean"),
            "Shifts ranked / scored": [f"{row.ranked_shifts} / {row.shifts}" for row in ranks.itertuples()],
            "Patients": words_of(ranks, "patients"),
        },
        text=("Network",),
    )


def _robust_rows(robust: pd.DataFrame) -> Table | None:
    return table(
        "Worst target and misses",
        {
            "Method": words_of(robust, "arm"),
            "Network": words_of(robust, "network"),
            "Worst shift": words_of(robust, "worst_shift"),
            "Dice there": with_interval(robust, ("worst", "worst_low", "worst_high")),
            "Mean over shifts": numbers_of(robust, "mean_over_shifts"),
            f"Collapsed (Dice < {COLLAPSED:g})": with_interval(
                robust, ("collapsed", "collapsed_low", "collapsed_high"), 2
            ),
            "Empty of structures": [f"{row.empty} of {row.structures}" for row in robust.itertuples()],
            "Patients / cases": [f"{row.patients} / {row.cases}" for row in robust.itertuples()],
        },
        text=("Network", "Worst shift"),
    )


def _gap_rows(gaps: pd.DataFrame) -> Table | None:
    percent = gaps.assign(**{name: 100.0 * gaps[name] for name in ("gap_relative", "relative_low", "relative_high")})
    return table(
        "Generalization gap",
        {
            "Method": words_of(gaps, "arm"),
            "Network": words_of(gaps, "network"),
            "Sources": words_of(gaps, "source_set"),
            "In-domain": numbers_of(gaps, "in_domain"),
            "Targets": numbers_of(gaps, "target"),
            "Absolute gap (Dice)": with_interval(gaps, ("gap_absolute", "absolute_low", "absolute_high")),
            "Relative gap (%)": with_interval(percent, ("gap_relative", "relative_low", "relative_high"), 1),
            "Patients, in-domain / target": [
                f"{row.in_domain_patients} / {row.target_patients}" for row in gaps.itertuples()
            ],
        },
        text=("Network", "Sources"),
    )


def _test_rows(shifts: pd.DataFrame) -> Table | None:
    rows = shifts[(shifts["paired_cases"] > 0)].sort_values(["source_set", "role", "target"], kind="stable")
    return table(
        "Paired tests against ERM, Holm-corrected; effect size d_z (mean over SD of the patients' differences)",
        {
            "Method": words_of(rows, "arm"),
            "Network": words_of(rows, "network"),
            "Sources → target": [f"{row.source_set} → {row.target}" for row in rows.itertuples()],
            "Wilcoxon p": [p_value(float(p)) for p in rows["p_holm"]],
            "Paired t p": [p_value(float(p)) for p in rows["p_t_holm"]],
            "d_z": [signed(float(value), 2) for value in rows["effect_dz"]],
            "Patients": words_of(rows, "paired_patients"),
        },
        text=("Network", "Sources → target"),
    )


def _diagram(index: int, one: Difference, ranks: pd.DataFrame, panel: str) -> Figure:
    own = ranks[(ranks["network"] == one.network) & (ranks["group"] == one.group)].set_index("arm")
    figure = go.Figure()
    figure.add_trace(_points(one.methods, own.loc[list(one.methods)]))
    for place, names in enumerate(one.alike):
        figure.add_trace(_bar(place, names, one))
    figure.update_layout(
        xaxis={"title": "mean rank (1 is best)", "range": [0.8, len(one.methods) + 0.2]},
        yaxis={"autorange": "reversed", "automargin": True, "type": "category"},
        showlegend=False,
    )
    said = "Bars join methods that Nemenyi's test does not tell apart." if one.alike else "No bars of Nemenyi's test."
    return Figure(
        key=f"ranks-{panel}-{index}",
        title=f"Mean rank of each method, {one.network}",
        description=f"{count(one.shifts, 'shift')}; lines are intervals over patients. {said}",
        json=figure_json(figure),
        rows=len(one.methods),
    )


def _points(methods: Sequence[str], own: pd.DataFrame) -> go.Scatter:
    return go.Scatter(
        x=own["rank"].tolist(),
        y=list(methods),
        mode="markers",
        marker={"size": 9, "color": "#0072B2"},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": (own["high"] - own["rank"]).clip(lower=0).fillna(0).tolist(),
            "arrayminus": (own["rank"] - own["low"]).clip(lower=0).fillna(0).tolist(),
        },
        hovertemplate="%{y}: %{x:.2f}<extra></extra>",
    )


def _bar(place: int, names: Sequence[str], one: Difference) -> go.Scatter:
    """A bar of the critical-difference diagram, beside the points that it joins."""
    at = [one.ranks[one.methods.index(name)] + 0.04 * (place + 1) for name in names]
    return go.Scatter(x=at, y=list(names), mode="lines", line={"width": 5, "color": "#D55E00"}, hoverinfo="skip")
