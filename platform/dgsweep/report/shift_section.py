"""Is a drop a shift: sampling variance, source against target, center against sequence, for the page."""

from html import escape

import pandas as pd
import plotly.graph_objects as go

from dgsweep.analysis.shift import FEWEST_CELLS
from dgsweep.analysis.verdict import FEWEST_PATIENTS
from dgsweep.report.blocks import Section, Table, intervals_of, numbers_of, present, table, with_interval, words_of
from dgsweep.report.evidence import Evidence
from dgsweep.report.figures import Figure, Style, figure_json
from dgsweep.report.looks import looks
from dgsweep.report.panels import Panel
from dgsweep.report.texts import count

NOTES = (
    "Sampling variance: a mean over few patients varies by itself. The band is where the target's mean Dice would lie "
    "if its patients were more of the source's: as many as the target has, drawn again and again from the source's "
    "test patients. A drop is called a shift only when the target lies below it, and nothing is said with fewer than "
    f"{FEWEST_PATIENTS} patients on either side.",
)


def shift_section(panel: Panel, evidence: Evidence) -> Section:
    """The section of one panel."""
    statistics = panel.statistics
    points, kinds = statistics["source_and_target"], statistics["cross_center_and_cross_sequence"]
    notes = (*NOTES, *_said_of_cells(statistics["source_target_correlation"]), *_said_of_kinds(kinds))
    return Section(
        key="shift",
        title="Is a drop a shift?",
        notes=notes,
        tables=present(_sampling_rows(statistics["sampling_variance"]), _kind_rows(kinds), _point_rows(points)),
        figures=present(_scatter(points, panel.key, looks(evidence), several=evidence.several_networks)),
        nothing="It needs cases scored both in-domain and on a target, from one source set.",
    )


def _sampling_rows(found: pd.DataFrame) -> Table | None:
    return table(
        "Sampling variance: target means against what the source gives at the target's size",
        {
            "Method": words_of(found, "arm"),
            "Network": words_of(found, "network"),
            "Sources → target": [f"{row.source_set} → {row.target}" for row in found.itertuples()],
            "In-domain": numbers_of(found, "source_mean"),
            "Band without shift": intervals_of(found, ("band_low", "band_high")),
            "Target": numbers_of(found, "target_mean"),
            "Said": words_of(found, "word"),
            "Patients, source / target": [
                f"{row.source_patients} / {row.target_patients}" for row in found.itertuples()
            ],
        },
        text=("Network", "Sources → target", "Said"),
    )


def _kind_rows(kinds: pd.DataFrame) -> Table | None:
    return table(
        "Center against sequence: each method's own drop from in-domain",
        {
            "Method": words_of(kinds, "arm"),
            "Network": words_of(kinds, "network"),
            "Kind of shift": words_of(kinds, "kind"),
            "In-domain": numbers_of(kinds, "in_domain"),
            "Target": numbers_of(kinds, "target"),
            "Drop (Dice)": with_interval(kinds, ("drop", "low", "high")),
            "Effect size (SDs in-domain)": numbers_of(kinds, "effect", 1),
            "Shifts": words_of(kinds, "shifts"),
            "Patients, in-domain / target": [
                f"{row.in_domain_patients} / {row.target_patients}" for row in kinds.itertuples()
            ],
        },
        text=("Network", "Kind of shift"),
    )


def _point_rows(points: pd.DataFrame) -> Table | None:
    return table(
        "Source against target, one row a model",
        {
            "Method": words_of(points, "arm"),
            "Network": words_of(points, "network"),
            "Sources": words_of(points, "source_set"),
            "In-domain": numbers_of(points, "source"),
            "Mean over target domains": numbers_of(points, "target"),
            "Patients, source / target": [
                f"{row.source_patients} / {row.target_patients}" for row in points.itertuples()
            ],
        },
        text=("Network", "Sources"),
    )


def _said_of_cells(found: pd.DataFrame) -> list[str]:
    if found.empty:
        return []
    cells, patients = int(found["cells"].iloc[0]), int(found["patients"].iloc[0])
    if cells < FEWEST_CELLS:
        return [
            f"Source against target: {count(cells, 'model')} (method, network, sources), too few for a correlation; "
            f"it is given from {FEWEST_CELLS} on."
        ]
    texts = with_interval(found, ("value", "low", "high"), 2)
    told = [f"{name.title()} {text}" for name, text in zip(found["measure"], texts, strict=True)]
    return [
        f"Source against target over {cells} models and {count(patients, 'patient')}: {', '.join(told)}. Each draw of "
        "the interval takes models and patients anew. An interval that holds 0 does not say that source Dice tells "
        "anything about target Dice."
    ]


def _said_of_kinds(kinds: pd.DataFrame) -> list[str]:
    names = sorted(set(kinds["kind"]))
    if not names:
        return []
    if {"cross-center", "cross-sequence"} <= set(names):
        return ["Centers are other people as well as other scanners; sequences are mostly of the same people."]
    return [f"This panel has no comparison of center with sequence: its only kind of shift is {' and '.join(names)}."]


def _scatter(points: pd.DataFrame, panel: str, known: dict[str, Style], *, several: bool) -> Figure | None:
    if points.empty:
        return None
    figure = go.Figure()
    for arm, own in points.groupby("arm", sort=True):
        figure.add_trace(_trace(str(arm), own, known[str(arm)], several=several))
    line = {"color": "#888888", "dash": "dot"}
    figure.add_trace(go.Scatter(x=[0, 1], y=[0, 1], mode="lines", line=line, name="no loss", hoverinfo="skip"))
    figure.update_layout(
        xaxis={"title": "Dice in-domain", "range": [-0.02, 1.02]},
        yaxis={"title": "mean Dice over target domains", "range": [-0.02, 1.02]},
    )
    return Figure(
        key=f"shift-{panel}",
        title="Source against target",
        description=f"{count(len(points), 'model')}, one point each; the dotted line is no loss.",
        json=figure_json(figure),
    )


def _trace(arm: str, own: pd.DataFrame, look: Style, *, several: bool) -> go.Scatter:
    named = [f"{row.source_set}{f' · {row.network}' if several else ''}" for row in own.itertuples()]
    return go.Scatter(
        x=own["source"].tolist(),
        y=own["target"].tolist(),
        mode="markers",
        name=arm,
        text=[escape(name) for name in named],
        hovertemplate="%{text}<br>in-domain %{x:.3f}, targets %{y:.3f}",
        marker={"size": 9, "color": look.colour, "symbol": look.marker},
    )
