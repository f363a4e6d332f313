"""What a section of statistics is made of: words, tables and figures, which one template prints."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from dgsweep.report.figures import Figure
from dgsweep.report.texts import interval, number


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows of text under their heads; the first column names the row, `numbers` say which columns hold numbers."""

    caption: str
    heads: tuple[str, ...]
    numbers: tuple[bool, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Section:
    """One section of the page. `notes` stand above its tables; one without tables and figures says `nothing`."""

    key: str
    title: str
    notes: tuple[str, ...]
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()
    nothing: str = ""


def table(caption: str, columns: Mapping[str, Iterable[str]], text: Sequence[str] = ()) -> Table | None:
    """A table from columns of equal length, None without rows; the first column and those named in `text` are words."""
    heads = tuple(columns)
    rows = tuple(zip(*columns.values(), strict=True))
    numbers = tuple(index > 0 and head not in text for index, head in enumerate(heads))
    return Table(caption=caption, heads=heads, numbers=numbers, rows=rows) if rows else None


def present(*found: Any) -> tuple[Any, ...]:
    """What is there, without the Nones."""
    return tuple(one for one in found if one is not None)


def with_interval(frame: pd.DataFrame, names: tuple[str, str, str], digits: int = 3) -> list[str]:
    """`0.123 [0.100, 0.150]` for each row; `names` are the columns of the value and its bounds."""
    rows = frame[list(names)].to_numpy(dtype=float)
    return [f"{number(value, digits)} {interval(low, high, digits)}" for value, low, high in rows]


def intervals_of(frame: pd.DataFrame, names: tuple[str, str], digits: int = 3) -> list[str]:
    """`[0.100, 0.150]` for each row; `names` are the columns of the bounds."""
    return [interval(low, high, digits) for low, high in frame[list(names)].to_numpy(dtype=float)]


def numbers_of(frame: pd.DataFrame, name: str, digits: int = 3) -> list[str]:
    """A column as text with fixed digits."""
    return [number(float(value), digits) for value in frame[name]]


def words_of(frame: pd.DataFrame, name: str) -> list[str]:
    """A column as it is."""
    return [str(value) for value in frame[name]]
