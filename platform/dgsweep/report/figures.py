"""Interactive figures. Colours are Okabe and Ito's (2008), and a marker or dash says the same as each colour."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from dgsweep.report.texts import count, number

PALETTE = ("#E69F00", "#56B4E9", "#009E73", "#CC79A7", "#D55E00", "#0072B2", "#999999", "#B8A800")
MARKERS = ("circle", "diamond", "square", "triangle-up", "cross", "x", "star", "hexagon")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
MOST_LINES = 40
"""More curves than this in one figure cannot be told apart; then only selected trials are drawn, the first of each
method where those are more."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A Plotly figure as JSON with what a reader who cannot see it is told."""

    key: str
    title: str
    description: str
    json: str
    rows: int = 0
    """Rows of its vertical axis where its height follows them."""


@dataclass(frozen=True, kw_only=True)
class Style:
    """How one method is drawn in every figure of the report."""

    colour: str
    marker: str
    dash: str


_PARTS = tuple(Style(colour=PALETTE[i], marker=MARKERS[i], dash=DASHES[i]) for i in (2, 0, 5))
"""Teacher, student, weight."""


Column = tuple[str, frozenset[tuple[str, str]]]
"""Name of a column of a figure, and the (center, sequence) of its cases."""
Beside = Callable[[go.Figure, Sequence[Column]], str]
"""Draws what stands beside the methods on a figure with these columns; says so in a sentence, or ''."""


def distributions(
    values: pd.DataFrame, looks: dict[str, Style], beside: Beside = lambda figure, columns: ""
) -> list[Figure]:
    """One figure per source set: every case as a point behind a box, by target and method.

    `values` has one row per case: arm, source_set, target, role, case_id, patient_id, center, sequence, value.
    """
    groups = enumerate(values.groupby("source_set"))
    return [_distribution(i, str(name), part, looks, beside) for i, (name, part) in groups]


def learning_curves(curves: pd.DataFrame, looks: dict[str, Style], selected: set[str]) -> list[Figure]:
    """Per source set the source-validation Dice and the training loss over steps, one line per trial.

    `curves` has the columns of curves.parquet and arm, source_set, name.
    """
    figures = []
    for i, (source_set, part) in enumerate(curves.groupby("source_set")):
        shown = part if part["trial_id"].nunique() <= MOST_LINES else _few(part[part["trial_id"].isin(selected)])
        figures += [
            _curves(f"val-{i}", f"{source_set}: source-validation Dice", validation_points(shown), looks),
            _curves(f"loss-{i}", f"{source_set}: training loss", loss_points(shown), looks),
        ]
    return [figure for figure in figures if figure is not None]


def _few(curves: pd.DataFrame) -> pd.DataFrame:
    """The first trials of each method by name, as many of each as fit into one figure."""
    trials = curves[["arm", "name", "trial_id"]].drop_duplicates().sort_values(["arm", "name", "trial_id"])
    each = max(1, MOST_LINES // max(1, trials["arm"].nunique()))
    first = trials[trials.groupby("arm", observed=True).cumcount() < each]
    return curves[curves["trial_id"].isin(first["trial_id"])]


def student_curves(curves: pd.DataFrame) -> list[Figure]:
    """Per source set and method with a student: the Dice of what predicts and of the student, and the term's weight.

    One trial each, the first by name. `curves` as for `learning_curves`.
    """
    taught = curves[curves["metric"] == "dice_student"]
    if taught.empty:
        return []
    first = taught.sort_values(["name", "trial_id"]).drop_duplicates(["source_set", "arm"])
    return [
        _student(f"student-{i}", row, curves[curves["trial_id"] == row.trial_id])
        for i, row in enumerate(first.sort_values(["source_set", "arm"]).itertuples())
    ]


def _student(key: str, row: Any, own: pd.DataFrame) -> Figure:
    whole = own[(own["domain"] == "all")].sort_values("step")
    lines = {
        "predicts (teacher, or several together)": whole[(whole["role"] == "val") & (whole["metric"] == "dice")],
        "trained network (student)": whole[whole["metric"] == "dice_student"],
        "weight of the consistency (right axis)": whole[whole["metric"] == "consistency_weight"],
    }
    figure = go.Figure()
    for place, (name, points) in enumerate(lines.items()):
        if len(points):
            trace = _line(name, name, points, _PARTS[place], legend=True)
            figure.add_trace(trace.update(yaxis="y2" if place == len(lines) - 1 else "y"))
    figure.update_layout(
        xaxis={"title": "step", "rangemode": "tozero"},
        yaxis={"title": "source-validation Dice", "range": [-0.02, 1.02]},
        yaxis2={
            "title": "weight",
            "overlaying": "y",
            "side": "right",
            "rangemode": "tozero",
            "showgrid": False,
            "tickmode": "auto",
        },
    )
    title = f"{row.source_set}: {row.arm}, student and teacher"
    return Figure(key=key, title=title, description=f"One trial: {row.name}.", json=figure_json(figure))


def validation_points(curves: pd.DataFrame) -> pd.DataFrame:
    """The mean over source domains of the validation Dice."""
    return curves[(curves["role"] == "val") & (curves["metric"] == "dice") & (curves["domain"] == "all")]


def loss_points(curves: pd.DataFrame) -> pd.DataFrame:
    """The training loss: the sum of its terms at each step."""
    terms = curves[(curves["role"] == "train") & curves["metric"].str.startswith("loss")]
    keys = ["arm", "name", "trial_id", "source_set", "step"]
    return terms.groupby(keys, observed=True)["value"].sum().reset_index()


def five_numbers(values: pd.DataFrame) -> list[dict[str, str]]:
    """What a box shows, as text: smallest, quartiles and largest Dice of the cases."""
    rows = []
    for (source_set, target, arm), part in values.groupby(["source_set", "target", "arm"]):
        found = part["value"].quantile([0, 0.25, 0.5, 0.75, 1]).tolist()
        names = ("smallest", "q1", "median", "q3", "largest")
        row = {name: number(value) for name, value in zip(names, found, strict=True)}
        rows.append({"source": f"{source_set}", "target": f"{target}", "arm": f"{arm}", "cases": f"{len(part)}", **row})
    return rows


def _distribution(index: int, source_set: str, part: pd.DataFrame, looks: dict[str, Style], beside: Beside) -> Figure:
    figure = go.Figure()
    part = part.assign(column=_columns(part))
    for arm, own in part.groupby("arm", sort=False):
        figure.add_trace(_box(str(arm), own, looks[str(arm)]))
    figure.update_layout(boxmode="group", yaxis={"title": "Dice", "range": [-0.02, 1.02]}, xaxis={"title": "target"})
    description = f"{count(part['case_id'].nunique(), 'case')}; the same numbers stand in the table below."
    groups = part.groupby("column", sort=False)
    description += beside(figure, [(str(name), frozenset(zip(own["center"], own["sequence"], strict=True)))
                                   for name, own in groups])  # fmt: skip
    title = f"Trained on {source_set}"
    return Figure(key=f"box-{index}", title=title, description=description, json=figure_json(figure))


def _columns(values: pd.DataFrame) -> "pd.Series[str]":
    """Targets as the axis names them: those in-domain are marked."""
    marked = values["target"].where(values["role"] != "in_domain", values["target"] + " ⌂")
    return marked.str.replace("in-domain ⌂", "in-domain")


def _box(arm: str, own: pd.DataFrame, look: Style) -> go.Box:
    hover = [_hover(row) for row in own.itertuples()]
    return go.Box(
        x=own["column"].tolist(),
        y=own["value"].tolist(),
        name=arm,
        text=hover,
        hoverinfo="text+name",
        boxpoints="all",
        jitter=0.5,
        pointpos=0,
        fillcolor="rgba(0,0,0,0)",
        line={"color": look.colour, "width": 1.5},
        marker={"symbol": look.marker, "size": 5, "opacity": 0.65, "color": look.colour},
    )


def _hover(row: Any) -> str:
    return f"{escape(str(row.case_id))} (patient {escape(str(row.patient_id))})<br>Dice {number(row.value)}"


def _curves(key: str, title: str, points: pd.DataFrame, looks: dict[str, Style]) -> Figure | None:
    points = points[points["value"].map(math.isfinite)]
    if points.empty:
        return None
    figure = go.Figure()
    named: set[str] = set()
    for (arm, name, _), own in points.sort_values("step").groupby(["arm", "name", "trial_id"], sort=False):
        figure.add_trace(_line(str(arm), str(name), own, looks[str(arm)], legend=arm not in named))
        named.add(str(arm))
    figure.update_layout(xaxis={"title": "step", "rangemode": "tozero"}, yaxis={"title": title.rpartition(": ")[2]})
    described = f"{count(points['trial_id'].nunique(), 'trial')}, one line each."
    return Figure(key=key, title=title, description=described, json=figure_json(figure))


def _line(arm: str, name: str, own: pd.DataFrame, look: Style, *, legend: bool) -> go.Scatter:
    return go.Scatter(
        x=own["step"].tolist(),
        y=own["value"].tolist(),
        name=arm,
        legendgroup=arm,
        showlegend=legend,
        mode="lines+markers",
        line={"color": look.colour, "dash": look.dash, "width": 1.6},
        marker={"symbol": look.marker, "size": 5},
        hovertemplate=f"{escape(name)}<br>step %{{x}}: %{{y:.3f}}<extra></extra>",
    )


def figure_json(figure: go.Figure) -> str:
    """JSON that is safe inside a script element; the page's own colours replace Plotly's template."""
    figure.update_layout(template="none")
    return str(figure.to_json()).replace("<", "\\u003c")
