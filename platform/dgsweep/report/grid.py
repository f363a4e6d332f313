"""Tables that stay readable with thousands of rows: the page holds all of them, and shows some at once."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup, escape

from dgsweep.report.blocks import Table
from dgsweep.report.forest import ForestRow

ROWS_AT_ONCE = 50
"""Rows of one table that are in the document; the others wait as text."""
_FACETS = {"Method": "method", "Network": "network", "Sources → target": "shift", "Sources": "source"}


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column. `facet` is what its cells are filtered by: method, network, source, shift, or ''."""

    head: Markup
    kind: str = ""
    """CSS class: n (numbers), axis (a drawing, hidden from screen readers), cause (long words) or ''."""
    facet: str = ""


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A table whose rows are filtered and turned over. Cells are HTML that is safe already."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Markup, ...], ...]
    csv: str = ""
    """Name of the file with every row and digit, without `.csv`."""
    hidden_caption: bool = False

    @property
    def first(self) -> tuple[tuple[Markup, ...], ...]:
        """Rows that stand in the document from the start."""
        return self.rows[:ROWS_AT_ONCE]

    @property
    def rest(self) -> str:
        """The other rows as JSON for a script element, '' where there are none."""
        return script_json(self.rows[ROWS_AT_ONCE:]) if self.more else ""

    @property
    def more(self) -> int:
        """How many rows wait."""
        return max(0, len(self.rows) - ROWS_AT_ONCE)

    @property
    def grouped_by(self) -> int:
        """The column whose change begins a group of rows, -1 where there is none."""
        return next((index for index, column in enumerate(self.columns) if column.facet == "shift"), -1)


def script_json(found: Any) -> str:
    """JSON for a script element; its HTML is safe already, so that only the end of the element must not be in it."""
    return json.dumps(found, ensure_ascii=False, separators=(",", ":")).replace("</", "<\\/")


def plain_grid(table: Table) -> Grid:
    """A table of the statistics sections."""
    columns = tuple(
        Column(head=escape(head), kind="n" if numeric else "", facet=_FACETS.get(head, ""))
        for head, numeric in zip(table.heads, table.numbers, strict=True)
    )
    return Grid(caption=table.caption, columns=columns, rows=_escaped(table.rows))


def forest_grid(rows: Sequence[ForestRow], caption: str, csv: str, *, several: bool, confidence: str) -> Grid:
    """The method x target table with its drawing of intervals."""
    axis = Markup("<span>0</span><span>Dice</span><span>1</span>")
    heads = [
        *_names(several),
        Column(head=Markup("Dice [{} interval]").format(confidence), kind="n"),
        Column(head=axis, kind="axis"),
        Column(head=Markup("Difference to ERM [{}]").format(confidence), kind="n"),
        Column(head=Markup("p (Holm)"), kind="n"),
        Column(head=Markup("Reading")),
        Column(head=Markup("Patients / cases"), kind="n"),
    ]
    cells = tuple(_forest_cells(row, several) for row in rows)
    return Grid(caption=caption, columns=tuple(heads), rows=cells, csv=csv)


def distance_grid(metric: str, rows: Iterable[dict[str, str]], *, several: bool) -> Grid:
    """One distance, with and without the penalty of misses."""
    heads = ("Mean, misses penalised", "Mean of found", "Median of found", "Missed structures", "Patients / cases")
    columns = (*_names(several), *(Column(head=escape(head), kind="n") for head in heads))
    cells = tuple(
        (
            *_named(row["arm"], row["network"], several),
            escape(row["shift"]),
            _bounded(row["mean"], row["interval"]),
            _bounded(row["found_mean"], row["found_interval"]),
            *(escape(row[name]) for name in ("found_median", "penalised", "counts")),
        )
        for row in rows
    )
    return Grid(caption=f"{metric} in mm", columns=columns, rows=cells, csv="distances", hidden_caption=True)


def quartile_grid(rows: Iterable[dict[str, str]]) -> Grid:
    """What the boxes of the cases show, as numbers."""
    heads = ("Cases", "Smallest", "Quarter", "Median", "Three quarters", "Largest")
    columns = (*_names(several=False), *(Column(head=escape(head), kind="n") for head in heads))
    names = ("cases", "smallest", "q1", "median", "q3", "largest")
    cells = tuple(
        (escape(row["arm"]), escape(f"{row['source']} → {row['target']}"), *(escape(row[name]) for name in names))
        for row in rows
    )
    return Grid(caption="Dice of single cases", columns=columns, rows=cells, csv="cases")


def _names(several: bool) -> tuple[Column, ...]:
    network = (Column(head=Markup("Network"), facet="network"),) if several else ()
    return (
        Column(head=Markup("Method"), facet="method"),
        *network,
        Column(head=Markup("Sources → target"), facet="shift"),
    )


def _named(arm: str, network: str, several: bool) -> tuple[Markup, ...]:
    return (escape(arm), escape(network)) if several else (escape(arm),)


def _forest_cells(row: ForestRow, several: bool) -> tuple[Markup, ...]:
    home = Markup(' <span class="home" title="in-domain">⌂</span>') if row.in_domain else Markup()
    return (
        *_named(row.arm, row.network, several),
        escape(row.shift) + home,
        _bounded(row.mean, row.interval),
        _drawing(row),
        _bounded(row.difference, row.difference_interval) if row.difference else Markup(),
        escape(row.p_holm),
        _reading(row.mark),
        escape(f"{row.patients} / {row.cases}"),
    )


def _bounded(value: str, interval: str) -> Markup:
    return Markup('<b>{}</b> <span class="soft">{}</span>').format(value, interval)


def _drawing(row: ForestRow) -> Markup:
    dot = Markup('<i class="dot" style="left:{}%"></i>').format(row.mean_x)
    if row.low_x is None or row.high_x is None:
        return Markup("<div>{}</div>").format(dot)
    width = round(row.high_x - row.low_x, 2)
    return Markup('<div><i class="bar" style="left:{}%;width:{}%"></i>{}</div>').format(row.low_x, width, dot)


def _reading(mark: str) -> Markup:
    signs = {"better": "▲ better", "worse": "▼ worse", "": ""}
    return escape(signs[mark]) if mark in signs else Markup('<span class="soft">{}</span>').format(mark)


def _escaped(rows: Iterable[Iterable[Any]]) -> tuple[tuple[Markup, ...], ...]:
    return tuple(tuple(escape(text) for text in row) for row in rows)
