"""The source x target matrix as an HTML table: each colour behind its number, each number over its interval."""

from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import pandas as pd

from dgsweep.report.texts import count, interval, method_name, number

SCALE = mpl.colormaps["cividis"]
"""Made for colour-vision deficiency and even in lightness, so that it survives a grey print."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One mean. `text` is empty where nothing was trained or scored."""

    text: str = ""
    interval: str = ""
    background: str = ""
    ink: str = ""
    title: str = ""
    in_domain: bool = False


@dataclass(frozen=True, kw_only=True)
class HeatMap:
    """One method: rows are source sets, columns are targets."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]


def heat_maps(matrix: pd.DataFrame, *, several_networks: bool) -> list[HeatMap]:
    """One map per method and network, all with the same columns so that they can be laid beside each other."""
    columns = tuple(dict.fromkeys(sorted(matrix["target"], key=lambda name: (name != "in-domain", name))))
    keys = ["arm", "network"]
    return [
        HeatMap(
            title=method_name(str(arm), str(network), several_networks=several_networks),
            columns=columns,
            rows=_rows(part, columns),
        )
        for (arm, network), part in matrix.groupby(keys, sort=False)
    ]


def scale_stops(steps: int = 9) -> str:
    """The colour scale as stops of a CSS gradient, from 0 to 1."""
    return ", ".join(colour(i / (steps - 1))[0] for i in range(steps))


def colour(value: float) -> tuple[str, str]:
    """Background of a value in 0..1 and the ink that is legible on it (WCAG relative luminance)."""
    red, green, blue, _ = SCALE(min(max(value, 0.0), 1.0))
    linear = [((c + 0.055) / 1.055) ** 2.4 if c > 0.04045 else c / 12.92 for c in (red, green, blue)]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return mpl.colors.to_hex((red, green, blue)), "#000000" if luminance > 0.179 else "#ffffff"


def _rows(part: pd.DataFrame, columns: tuple[str, ...]) -> tuple[tuple[str, tuple[Cell, ...]], ...]:
    rows = []
    for source_set, cells in part.groupby("source_set", sort=True):
        known = {str(row.target): _cell(row) for row in cells.itertuples()}
        rows.append((str(source_set), tuple(known.get(column, Cell()) for column in columns)))
    return tuple(rows)


def _cell(row: Any) -> Cell:
    background, ink = colour(row.mean)
    low_high = interval(row.low, row.high, 2)
    repeats = f"; {row.repeats} trainings, {number(row.repeat_low, 2)} to {number(row.repeat_high, 2)}"
    place = "in-domain" if row.role == "in_domain" else "target"
    return Cell(
        text=number(row.mean, 2),
        interval=low_high,
        background=background,
        ink=ink,
        title=f"{row.source_set} → {row.target} ({place}): Dice {number(row.mean)} {interval(row.low, row.high)}, "
        f"{count(row.patients, 'patient')}, {count(row.cases, 'case')}{repeats if row.repeats > 1 else ''}",
        in_domain=row.role == "in_domain",
    )
