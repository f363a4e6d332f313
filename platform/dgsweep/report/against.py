"""Our numbers beside a paper's: two groups of rows and two figures on one axis, never one ranking."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from dgsweep.analysis.frames import Level
from dgsweep.analysis.reference import CONTRADICTED, PENDING, Paper
from dgsweep.analysis.tables import distance_table, matrix
from dgsweep.report.evidence import Evidence
from dgsweep.report.figures import PALETTE, Figure, figure_json
from dgsweep.report.panels import Panel
from dgsweep.report.protocol_facts import our_protocol, warnings
from dgsweep.report.texts import count, interval, method_name, number

DISTANCES = ("hd95_mm", "assd_mm")
LEVEL: dict[str, Level] = {"crosspan": "sequence"}
"""What a column of the paper's tables is, where it is not a center's scans of one sequence."""
MOST_ROWS = 60
"""More rows than this are not drawn one by one; then each method is drawn over all its source sets."""
ROLES = {"in_domain": "in-domain", "target": "across a shift"}
_LOOK = {"in_domain": ("circle", PALETTE[5]), "target": ("diamond", PALETTE[4])}
_BOUND = {"<": "triangle-left", ">": "triangle-right"}
LONG = ["who", "panel", "method", "trained_on", "target", "role", "metric", "value", "spread", "low", "high", "source"]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table; texts as a reader sees them, Dice from 0 to 1."""

    method: str
    shift: str
    role: str
    dice: str
    spread: str
    hd95: str
    assd: str
    tested: str
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Group:
    """Rows that may stand under one heading."""

    heading: str
    rows: tuple[Row, ...]


@dataclass(frozen=True, kw_only=True)
class Against:
    """What the page shows of a paper beside this sweep."""

    paper: Paper
    differences: tuple[tuple[str, str, str], ...]
    """(aspect, paper, this sweep)."""
    warnings: tuple[str, ...]
    theirs: tuple[Group, ...]
    ours: tuple[Group, ...]
    figures: tuple[tuple[Figure, int], ...]
    """A figure and its number of rows, which decides its height."""
    table: pd.DataFrame
    """Every number of both, LONG, Dice from 0 to 1: for the CSV."""


def against(paper: Paper, evidence: Evidence, found: Sequence[Panel]) -> Against:
    """Set the panels of a sweep beside a paper. Methods that were chosen by an oracle rule are left out."""
    ours = our_protocol(evidence)
    panels = [panel for panel in found if not panel.rule.startswith("oracle_")]
    level = LEVEL.get(paper.name, "domain")
    numbers = _our_numbers(panels, evidence, level)
    theirs = _their_numbers(paper)
    return Against(
        paper=paper,
        differences=tuple((aspect, text, ours[aspect]) for aspect, text in paper.protocol.items()),
        warnings=tuple(warnings(paper, evidence)),
        theirs=tuple(_their_groups(paper)),
        ours=tuple(_our_groups(numbers)),
        figures=tuple(_figures(paper, theirs, numbers)),
        table=pd.concat([theirs[LONG], numbers[LONG]], ignore_index=True),
    )


def _their_numbers(paper: Paper) -> pd.DataFrame:
    """LONG, and `bound`, `note`, `table`; values that are per cent become shares."""
    rows = paper.rows[paper.rows["metric"].isin(["dice", *DISTANCES]) & (paper.rows["source"] != CONTRADICTED)]
    scale = rows["unit"].map({"%": 0.01}).fillna(1.0)
    return rows.assign(
        who=paper.title,
        panel="",
        value=rows["value"] * scale,
        spread=rows["sd"] * scale,
        low=math.nan,
        high=math.nan,
    ).reset_index(drop=True)


def _our_numbers(panels: Sequence[Panel], evidence: Evidence, level: Level) -> pd.DataFrame:
    """LONG, with patients, cases and misses of each number."""
    parts = [
        part.assign(panel=panel.title)
        for panel in panels
        for part in _panel_numbers(panel, evidence, level)
        if len(part)
    ]
    columns = [*LONG, "patients", "cases", "penalised", "structures", "found_mean"]
    if not parts:
        return pd.DataFrame(columns=columns)
    rows = pd.concat(parts, ignore_index=True)
    names = zip(rows["arm"].astype(str), rows["network"].astype(str), strict=True)
    several = evidence.several_networks
    rows = rows.rename(columns={"mean": "value", "source_set": "trained_on"}).assign(
        who="this sweep",
        method=[method_name(arm, network, several_networks=several) for arm, network in names],
        spread=math.nan,
        source="ledger",
    )
    return rows.reindex(columns=columns)


def _panel_numbers(panel: Panel, evidence: Evidence, level: Level) -> Iterator[pd.DataFrame]:
    plan, draws = evidence.plan, evidence.bootstrap
    yield matrix(panel.rows, plan, by=level, bootstrap=draws).assign(metric="dice")
    yield distance_table(panel.rows, plan, metrics=DISTANCES, by=level, bootstrap=draws)


def _their_groups(paper: Paper) -> Iterator[Group]:
    for table in paper.tables:
        rows = table.rows[table.rows["metric"].isin(["dice", *DISTANCES])]
        keys = ["method", "trained_on", "target", "role"]
        lines = tuple(_their_row(part) for _, part in rows.groupby(keys, sort=False))
        if lines:
            yield Group(heading=f"{paper.title}, {table.title} ({table.source})", rows=lines)


def _their_row(part: pd.DataFrame) -> Row:
    first = part.iloc[0]
    cells = {str(row.metric): row for row in _each(part)}
    dice = cells.get("dice")
    share = 0.01 if first["unit"] == "%" else 1.0
    return Row(
        method=str(first["method"]),
        shift=_shift(str(first["trained_on"]), str(first["target"])),
        role=ROLES.get(str(first["role"]), str(first["role"])),
        dice=_their_value(dice, share, 3),
        spread="" if dice is None or math.isnan(dice.sd) else f"± {number(dice.sd * share)} (sd of cases)",
        hd95=_their_value(cells.get("hd95_mm"), 1.0, 2),
        assd=_their_value(cells.get("assd_mm"), 1.0, 2),
        tested="",
        note="; ".join(dict.fromkeys(note for note in part["note"] if note)),
    )


def _their_value(cell: Any, share: float, digits: int) -> str:
    if cell is None:
        return ""
    if cell.source == PENDING:
        return "not public"
    return f"{cell.bound}{' ' if cell.bound else ''}{number(cell.value * share, digits)}"


def _our_groups(numbers: pd.DataFrame) -> Iterator[Group]:
    for panel, rows in numbers.groupby("panel", sort=False):
        keys = ["method", "trained_on", "target", "role"]
        lines = tuple(_our_row(part) for _, part in rows.groupby(keys, sort=False))
        yield Group(heading=f"This sweep, {panel}", rows=lines)


def _our_row(part: pd.DataFrame) -> Row:
    first = part.iloc[0]
    cells = {str(row.metric): row for row in _each(part)}
    dice = cells["dice"]
    return Row(
        method=str(first["method"]),
        shift=_shift(str(first["trained_on"]), str(first["target"])),
        role=ROLES[str(first["role"])],
        dice=number(dice.value),
        spread=interval(dice.low, dice.high),
        hd95=_our_distance(cells.get("hd95_mm")),
        assd=_our_distance(cells.get("assd_mm")),
        tested=f"{count(int(dice.patients), 'patient')}, {count(int(dice.cases), 'case')}",
    )


def _our_distance(cell: Any) -> str:
    """The mean with misses at their penalty, and the mean of found ones where anything was missed."""
    if cell is None:
        return ""
    if not cell.penalised:
        return number(cell.value, 2)
    missed = f"{cell.penalised:.0f} of {cell.structures:.0f} missed"
    return f"{number(cell.value, 2)} ({missed}; found: {number(cell.found_mean, 2)})"


def _each(rows: pd.DataFrame) -> Iterator[Any]:
    yield from rows.itertuples()


def _shift(trained_on: str, target: str) -> str:
    return f"{trained_on} → {target}" if trained_on else target


def _figures(paper: Paper, theirs: pd.DataFrame, ours: pd.DataFrame) -> Iterator[tuple[Figure, int]]:
    readers = theirs[(theirs["role"] == "reference") & theirs["method"].str.startswith("between")]
    lines = {f"readers, {row.target}": float(row.value) for row in _each(readers)}
    drawn = theirs[theirs["role"].isin(list(ROLES)) & theirs["value"].notna() & (theirs["metric"] == "dice")]
    if len(drawn):
        said = "Bars: standard deviation of the cases." if drawn["spread"].notna().any() else "As stated."
        said += " Triangles are bounds, not values." if (drawn["bound"] != "").any() else ""
        yield _dots("theirs", f"{paper.title}: Dice", drawn, said, lines), len(drawn)
    mine = ours[(ours["metric"] == "dice") & ours["value"].notna()]
    if mine["panel"].nunique() == 1:
        mine = mine.assign(panel="")
    if not len(mine):
        return
    said = "Bars: interval of the mean over patients."
    if len(mine) > MOST_ROWS:
        said = f"{said} The {MOST_ROWS} first of {len(mine)} rows; all stand in the table."
        mine = mine.head(MOST_ROWS)
    yield _dots("ours", "This sweep: Dice", mine, said, lines), len(mine)


def _dots(key: str, title: str, rows: pd.DataFrame, said: str, lines: dict[str, float]) -> Figure:
    figure = go.Figure()
    for role, part in rows.groupby("role", sort=True):
        figure.add_trace(_trace(str(role), part))
    for name, dice in lines.items():
        figure.add_vline(x=dice, line={"dash": "dot", "width": 1, "color": PALETTE[6]}, name=name)
    figure.update_layout(
        xaxis={"title": "Dice", "range": [-0.02, 1.02]},
        yaxis={"title": "", "autorange": "reversed", "type": "category"},
        showlegend=True,
    )
    if lines:
        said = f"{said} Dotted lines: Dice between the paper's readers."
    return Figure(key=f"against-{key}", title=title, description=said, json=figure_json(figure))


def _trace(role: str, part: pd.DataFrame) -> go.Scatter:
    symbol, colour = _LOOK[role]
    bounds = part["bound"] if "bound" in part else pd.Series("", index=part.index)
    labels = [
        f"{row.method}, {_shift(str(row.trained_on), str(row.target))}{f' ({row.panel})' if row.panel else ''}"
        for row in _each(part)
    ]
    low = (part["value"] - part["low"]).fillna(part["spread"]).fillna(0.0)
    high = (part["high"] - part["value"]).fillna(part["spread"]).fillna(0.0)
    return go.Scatter(
        x=part["value"].tolist(),
        y=labels,
        mode="markers",
        name=ROLES[role],
        marker={"symbol": [_BOUND.get(bound, symbol) for bound in bounds], "color": colour, "size": 8},
        error_x={"type": "data", "array": high.tolist(), "arrayminus": low.tolist(), "thickness": 1.2},
        hovertemplate="%{y}: %{x:.3f}<extra></extra>",
    )
