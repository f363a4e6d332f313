"""The source x target matrix as a person reads it at the end of a run."""

from typing import Any

import pandas as pd

from dgsweep.analysis.selection import selected_cases
from dgsweep.analysis.tables import matrix
from dgsweep.plan.trial import Plan
from dgsweep.records.ledger import Ledger

MARK = "*"
"""Marks the in-domain cell of a row."""


def matrix_rows(plan: Plan, ledger: Ledger) -> tuple[list[dict[str, Any]], list[str], str]:
    """Rows (one per method and source set), columns and title: mean Dice with its interval.

    In-domain cells carry a `*`. Nothing is returned before a trial is done.
    """
    rule = str(plan.config["selection"][0])
    chosen = selected_cases(rule, plan, ledger.cases_frame(plan), ledger.curves_frame(plan))
    if chosen.empty:
        return [], [], ""
    table = matrix(chosen, plan)
    table = table[table["role"] != "val"]
    keys = (
        ["method", "setting", "network", "sources_label"]
        if "sources_label" in table
        else ["method", "setting", "network", "sources"]
    )
    rows = [_row(dict(zip(keys, names, strict=True)), part) for names, part in table.groupby(keys, sort=False)]
    targets = [str(target) for target in dict.fromkeys(table["target"])]
    columns = [key for key in keys if table[key].nunique() > 1 or key in {"method", keys[-1]}]
    title = (
        f"Dice, mean [95 % interval over patients], rows: trained on, columns: tested on, {MARK} in-domain, rule {rule}"
    )
    return rows, [*columns, *targets], title


def _row(names: dict[str, Any], part: pd.DataFrame) -> dict[str, Any]:
    cells = {
        str(cell["target"]): f"{cell['mean']:.2f} [{cell['low']:.2f}, {cell['high']:.2f}]"
        + (MARK if cell["role"] == "in_domain" else "")
        for cell in part.to_dict("records")
    }
    return {**names, **cells}
