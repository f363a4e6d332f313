"""Rows of the method x target table with a small interval drawing, so that a column of numbers can be seen at once."""

import math
from dataclasses import dataclass
from typing import Any

import pandas as pd

from dgsweep.report.texts import interval, number, p_value, signed


@dataclass(frozen=True, kw_only=True)
class ForestRow:
    """One method on one shift. `low_x`, `mean_x`, `high_x` are per cent of the axis from 0 to 1; None: not drawn."""

    arm: str
    network: str
    shift: str
    in_domain: bool
    mean: str
    interval: str
    difference: str
    difference_interval: str
    p_holm: str
    mark: str
    patients: int
    cases: int
    mean_x: float
    low_x: float | None
    high_x: float | None


def forest_rows(table: pd.DataFrame, alpha: float) -> list[ForestRow]:
    """Rows of `tables.method_table` or `method_summary`, grouped by shift."""
    ordered = table.sort_values(["source_set", "role", "target"], kind="stable")
    return [_row(row, alpha) for row in ordered.itertuples()]


def shift_name(source_set: str, target: str) -> str:
    """`T1W → T2W`."""
    return f"{source_set} → {target}"


def _row(row: Any, alpha: float) -> ForestRow:
    bounded = math.isfinite(row.low)
    paired = row.paired_cases > 0
    return ForestRow(
        arm=row.arm,
        network=row.network,
        shift=shift_name(row.source_set, row.target),
        in_domain=row.role == "in_domain",
        mean=number(row.mean),
        interval=interval(row.low, row.high),
        difference=signed(row.difference) if paired else "",
        difference_interval=interval(row.difference_low, row.difference_high, with_sign=True) if paired else "",
        p_holm=p_value(row.p_holm) if paired else "",
        mark=difference_mark(row, alpha) if paired else "",
        patients=row.patients,
        cases=row.cases,
        mean_x=_percent(row.mean),
        low_x=_percent(row.low) if bounded else None,
        high_x=_percent(row.high) if bounded else None,
    )


def difference_mark(row: Any, alpha: float) -> str:
    """`better` or `worse` when corrected p and interval agree, `undecided` when they do not, else `not separable`.

    `no test` where one patient leaves no interval.
    """
    if math.isnan(row.difference_low) or math.isnan(row.difference_high):
        return "no test"
    if not (row.difference_low > 0 or row.difference_high < 0):
        return "not separable"
    if not row.p_holm < alpha:
        return "undecided"
    return "better" if row.difference_low > 0 else "worse"


def _percent(value: float) -> float:
    return round(100.0 * min(max(value, 0.0), 1.0), 2)
