"""The figures of the report as SVG files: Plotly's own export, which needs a Chrome or Chromium and no network."""

import json
import logging
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from dgsweep.report.figures import Figure, figure_json
from dgsweep.report.panels import Panel
from dgsweep.report.texts import interval, method_name, number
from dgsweep.storage.files import remove_file, write_bytes
from dgsweep.storage.place import AnyPath

WIDTH, HEIGHT, ROW_HEIGHT = 900, 480, 24
MISSING = "MISSING.txt"
SECONDS = 60
"""For one figure."""
NO_NETWORK = "127.0.0.1:9"
"""A proxy at which nobody answers: the browser reads files, and reaches nothing else."""
HOW = (
    "The figures need Chrome or Chromium on this machine (Debian: apt-get install chromium; anywhere: "
    "plotly_get_chrome), or its path in BROWSER_PATH. Then: dgsweep report OUTPUT"
)
logger = logging.getLogger(__name__)


def write_svgs(figures: Sequence[tuple[Figure, int]], folder: AnyPath) -> str:
    """Write `<key>.svg` for each (figure, rows, 0 where height does not follow them); what is missing, or ''.

    Where there is no browser, `MISSING` in the folder says what is to be done, and nothing fails.
    """
    import kaleido
    from kaleido.errors import (
        BrowserClosedError,
        BrowserFailedError,
        ChromeNotFoundError,
        JavascriptError,
        KaleidoError,
    )

    with tempfile.TemporaryDirectory() as scratch:
        jobs = [_job(figure, rows, Path(scratch)) for figure, rows in figures]
        try:
            kaleido.write_fig_from_object_sync(
                jobs, kopts={"mathjax": False, "timeout": SECONDS, "proxy_server": NO_NETWORK}
            )
        except ChromeNotFoundError:
            return _missing("no browser was found", folder)
        except (BrowserClosedError, BrowserFailedError, JavascriptError, KaleidoError, TimeoutError) as error:
            return _missing(f"the browser failed ({type(error).__name__})", folder)
        for figure, _ in figures:
            write_bytes(folder / f"{figure.key}.svg", (Path(scratch) / f"{figure.key}.svg").read_bytes())
    remove_file(folder / MISSING)
    return ""


def matrix_figures(found: Sequence[Panel], level: str, *, several_networks: bool) -> Iterator[tuple[Figure, int]]:
    """The source x target matrix of each panel and method, each mean with its interval written in its cell."""
    for index, panel in enumerate(found):
        table = panel.by_sequence if level == "sequence" else panel.by_domain
        for place, ((arm, network), part) in enumerate(table.groupby(["arm", "network"], sort=False)):
            name = method_name(str(arm), str(network), several_networks=several_networks)
            title = f"{name}: mean Dice ({panel.title})"
            yield _matrix(f"matrix-{index}-{place}", title, part), 2 * part["source_set"].nunique()


def _matrix(key: str, title: str, part: pd.DataFrame) -> Figure:
    means = part.pivot_table(index="source_set", columns="target", values="mean", observed=True)
    cells = {
        (str(row["source_set"]), str(row["target"])): _cell(row["mean"], row["low"], row["high"])
        for row in part.to_dict("records")
    }
    figure = go.Figure(
        go.Heatmap(
            z=means.to_numpy().tolist(),
            x=[str(name) for name in means.columns],
            y=[str(name) for name in means.index],
            text=[[cells.get((str(row), str(column)), "–") for column in means.columns] for row in means.index],
            texttemplate="%{text}",
            zmin=0,
            zmax=1,
            colorscale="Cividis",
            xgap=3,
            ygap=3,
            colorbar={"title": "Dice"},
        )
    )
    figure.update_layout(
        xaxis={"title": "tested on", "type": "category"},
        yaxis={"title": "trained on", "autorange": "reversed", "type": "category"},
    )
    return Figure(key=key, title=title, description="", json=figure_json(figure))


def _cell(mean: float, low: float, high: float) -> str:
    return f"{number(mean, 2)}<br>{interval(low, high, 2)}"


def _job(figure: Figure, rows: int, folder: Path) -> dict[str, Any]:
    height = max(HEIGHT, 160 + rows * ROW_HEIGHT) if rows else HEIGHT
    plain = json.loads(figure.json)
    layout = {**plain["layout"], "template": None, "title": {"text": figure.title}}
    for axis in ("xaxis", "yaxis"):
        layout[axis] = {"gridcolor": "#d9dee4", "linecolor": "#5a6673", **layout.get(axis, {}), "automargin": True}
    layout |= {"paper_bgcolor": "#ffffff", "plot_bgcolor": "#ffffff", "font": {"color": "#16202b", "size": 13}}
    size = {"format": "svg", "width": WIDTH, "height": height}
    return {"fig": {"data": plain["data"], "layout": layout}, "path": str(folder / f"{figure.key}.svg"), "opts": size}


def _missing(what: str, folder: AnyPath) -> str:
    said = f"No SVG figures were written: {what}. {HOW}"
    logger.warning(said)
    write_bytes(folder / MISSING, f"{said}\n".encode())
    return said
