"""Tables and JSON for the terminal: results on standard output, everything else on standard error."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

MIN_WIDTH = 120
SHORT = 14
"""Characters of a cell that is not cut in pieces where there is room: columns of longer text give way first."""
LEAST = 20
"""Characters that a column of longer text keeps."""


def stdout() -> Console:
    """Console for results; wide enough for a table when it is no terminal."""
    console = Console()
    return console if console.is_terminal else Console(width=max(MIN_WIDTH, console.width))


def stderr() -> Console:
    """Console for progress and notes."""
    return Console(stderr=True)


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    typer.echo(json.dumps(value, indent=2, default=str))


def rows_of(table: Any) -> list[dict[str, Any]]:
    """Rows of a data frame, with null for what is not defined, which JSON has no number for."""
    plain: list[dict[str, Any]] = json.loads(table.to_json(orient="records", double_precision=15))
    return plain


def print_table(rows: Iterable[Mapping[str, Any]], columns: Sequence[str], *, title: str = "") -> None:
    """A table with one column per key, its title on a line of its own, however narrow the table is."""
    console = stdout()
    table = as_table(rows, columns, console)
    if title:
        console.print(title, style="bold", markup=False, highlight=False, soft_wrap=True)
    console.print(table)


def as_table(rows: Iterable[Mapping[str, Any]], columns: Sequence[str], console: Console, *, title: str = "") -> Table:
    """The table itself, for a view that is drawn again and again."""
    cells = [[_cell(row.get(column)) for column in columns] for row in rows]
    whole = _whole_columns(cells, columns, console.width)
    table = Table(header_style="bold", title=title or None, title_justify="left")
    for column in columns:
        heading = column.replace("_", "\n" if column in whole else " ")
        table.add_column(heading, overflow="fold", no_wrap=column in whole)
    for line in cells:
        table.add_row(*line)
    return table


def _whole_columns(cells: Sequence[Sequence[str]], columns: Sequence[str], width: int) -> set[str]:
    """Columns whose cells stay in one piece; none where the others would be left with too little room."""
    longest = [
        max([*(len(word) for word in column.split("_")), *(len(line[place]) for line in cells)])
        for place, column in enumerate(columns)
    ]
    short = {column for column, length in zip(columns, longest, strict=True) if length <= SHORT}
    needed = sum(min(length, LEAST) + 3 for length in longest) + 1
    return short if needed <= width else set()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.3g}"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
