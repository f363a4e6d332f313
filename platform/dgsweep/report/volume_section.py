"""Volumes against the reference, and volume error against Dice with what a Dice allows, for the page."""

from collections.abc import Callable
from html import escape

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from dgsweep.analysis.volumes import volume_error_bounds, volume_rows
from dgsweep.report.blocks import Section, Table, intervals_of, numbers_of, present, table, with_interval, words_of
from dgsweep.report.evidence import Evidence
from dgsweep.report.figures import Figure, Style, figure_json
from dgsweep.report.looks import looks
from dgsweep.report.observers import Observers, across
from dgsweep.report.observers import said as of_readers
from dgsweep.report.panels import Panel
from dgsweep.report.texts import count, number

NOTES = (
    "Regression: R² of the line of predicted on reference volume. Bland-Altman: bias is the mean of predicted minus "
    "reference volume, with its interval over patients; limits of agreement hold 95 % of single cases, and say what "
    "one prediction may be off by. Each case counts once a training; cases with an empty reference are left out.",
    "A Dice of d allows a relative volume error from 2/(2−d)−2 to 2/d−2: that is a bound for each case, and the mean "
    "of these bounds is one for the mean. The same with the mean Dice put in is not a bound.",
)
MOST_POINTS = 3000
LARGEST_ERROR = 3.0
"""The axis of relative volume error ends here: a Dice near 0 allows any error."""


def volume_section(panel: Panel, evidence: Evidence) -> Section:
    """The section of one panel."""
    found = panel.statistics["volumes"]
    rows = volume_rows(panel.rows, evidence.plan, by=evidence.level)
    beyond = int(found["beyond_bounds"].sum())
    warning = (
        (f"{count(beyond, 'row')} of Dice and volumes cannot belong together: the error lies beyond its bounds.",)
        if beyond
        else ()
    )
    return Section(
        key="volumes",
        title="Volumes",
        notes=(*warning, *NOTES),
        tables=present(_rows(found)),
        figures=present(*(_figures(rows, panel.key, looks(evidence), evidence.observers) if len(rows) else ())),
        nothing="No case with a reference volume has been scored yet.",
    )


def _rows(found: pd.DataFrame) -> Table | None:
    percent = found.assign(**{name: 100.0 * found[name] for name in ("absolute_error", "mean_bound")})
    return table(
        "Predicted against reference volume",
        {
            "Method": words_of(found, "arm"),
            "Network": words_of(found, "network"),
            "Sources → target": [f"{row.source_set} → {row.target}" for row in found.itertuples()],
            "Structure": words_of(found, "label"),
            "R²": with_interval(found, ("r2", "r2_low", "r2_high"), 2),
            "Line (slope, intercept ml)": [
                f"{number(slope, 2)}, {number(start, 1)}"
                for slope, start in found[["slope", "intercept_ml"]].to_numpy(dtype=float)
            ],
            "Bias (ml)": with_interval(found, ("bias_ml", "bias_low", "bias_high"), 1),
            "95 % limits (ml)": intervals_of(found, ("limit_low", "limit_high"), 1),
            "|Volume error| (%)": numbers_of(percent, "absolute_error", 1),
            "Allowed by Dice (%)": numbers_of(percent, "mean_bound", 1),
            "Patients / cases": [f"{row.patients} / {row.cases}" for row in found.itertuples()],
        },
        text=("Network", "Sources → target", "Structure"),
    )


def _figures(rows: pd.DataFrame, panel: str, known: dict[str, Style], observers: Observers) -> list[Figure]:
    step = -(-len(rows) // MOST_POINTS)
    shown = rows.iloc[::step]
    said = f"{count(len(shown), 'point')}, one each case, structure and training" + (
        f"; one in {step} is drawn." if step > 1 else "."
    )
    return [
        _regression(shown, f"volume-{panel}", said, known),
        _errors(shown, f"error-{panel}", said, known, observers),
    ]


def _regression(rows: pd.DataFrame, key: str, said: str, known: dict[str, Style]) -> Figure:
    largest = float(rows[["volume_ml", "volume_ref_ml"]].to_numpy(dtype=float).max())
    figure = _by_method(rows, known, lambda own: (own["volume_ref_ml"].tolist(), own["volume_ml"].tolist()))
    figure.add_trace(_line([0.0, largest], [0.0, largest], "equal"))
    figure.update_layout(xaxis={"title": "reference volume (ml)"}, yaxis={"title": "predicted volume (ml)"})
    return Figure(key=key, title="Predicted against reference volume", description=said, json=figure_json(figure))


def _errors(rows: pd.DataFrame, key: str, said: str, known: dict[str, Style], observers: Observers) -> Figure:
    figure = _by_method(rows, known, lambda own: (own["dice"].tolist(), own["volume_error"].tolist()))
    dice = np.linspace(2.0 / (2.0 + LARGEST_ERROR), 1.0, 60)
    low, _ = volume_error_bounds(every := np.linspace(0.0, 1.0, 60))
    figure.add_trace(_line(every.tolist(), low.tolist(), "least"))
    figure.add_trace(_line(dice.tolist(), volume_error_bounds(dice)[1].tolist(), "largest"))
    figure.update_layout(
        xaxis={"title": "Dice", "range": [-0.02, 1.02]},
        yaxis={"title": "relative volume error", "range": [-1.1, LARGEST_ERROR]},
    )
    across(figure, observers, upright=True)
    bounds = f"{said} Dotted lines are the least and the largest error that a Dice allows."
    return Figure(
        key=key,
        title="Volume error against Dice",
        description=bounds + of_readers(observers),
        json=figure_json(figure),
    )


def _by_method(
    rows: pd.DataFrame, known: dict[str, Style], at: Callable[[pd.DataFrame], tuple[list[float], list[float]]]
) -> go.Figure:
    figure = go.Figure()
    for arm, own in rows.groupby("arm", sort=True):
        x, y = at(own)
        look = {"color": known[str(arm)].colour, "symbol": known[str(arm)].marker}
        text = [escape(f"{row.case_id}: {row.source_set} → {row.target}, {row.label}") for row in own.itertuples()]
        figure.add_trace(
            go.Scatter(x=x, y=y, mode="markers", name=str(arm), text=text, marker={"size": 5, "opacity": 0.6, **look})
        )
    return figure


def _line(x: list[float], y: list[float], name: str) -> go.Scatter:
    return go.Scatter(x=x, y=y, mode="lines", name=name, line={"color": "#888888", "dash": "dot"}, hoverinfo="skip")
