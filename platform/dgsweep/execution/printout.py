"""The source x target matrix as a person reads it at the end of a run."""

from typing import Any

import pandas as pd

from dgsweep.analysis.selection import selected_cases
from dgsweep.analysis.tables import matrix
from dgsweep.plan.trial import Plan
from dgsweep.records.ledger import Ledger

MARK = "*"
"""Marks the in-domain cell of a row."""
ROW_NAMES = {"arm": "method", "source_set": "trained_on", "network": "network", "panel": "panel"}
"""Columns that tell rows apart -> how they are called in the printout."""
ALWAYS_SHOWN = ("arm", "source_set")


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
    keys = [key for key in ROW_NAMES if table[key].nunique() > 1 or key in ALWAYS_SHOWN]
    rows = [
        {ROW_NAMES[key]: name for key, name in zip(keys, names, strict=True)} | _cells(part)
        for names, part in table.groupby(keys, sort=False)
    ]
    columns = [*[ROW_NAMES[key] for key in keys], *_targets(plan, table)]
    return rows, columns, f"mean Dice [95 % interval over patients] by tested sequence; {MARK} in-domain; rule {rule}"


def _targets(plan: Plan, table: pd.DataFrame) -> list[str]:
    """Columns in the order of the source sets where they share names, then the rest."""
    known = list(dict.fromkeys(spec.sources_label for spec in plan.trials))
    names = [str(name) for name in dict.fromkeys(table["target"])]
    return sorted(names, key=lambda name: known.index(name) if name in known else len(known))


def _cells(part: pd.DataFrame) -> dict[str, str]:
    return {
        str(cell["target"]): f"{cell['mean']:.2f} [{cell['low']:.2f}, {cell['high']:.2f}]"
        + (MARK if cell["role"] == "in_domain" else "")
        for cell in part.to_dict("records")
    }
