"""What the pages of evidence share: the plan and the table of a sweep, read from its ledger."""

from pathlib import Path
from typing import Any

import pandas as pd

from dgsweep.analysis.selection import selected_cases
from dgsweep.analysis.tables import matrix
from dgsweep.execution.prepare import prepare
from dgsweep.plan.trial import Plan
from dgsweep.records.ledger import Ledger

ROOT = Path(__file__).parents[1]
SWEEPS = ROOT / "examples" / "evidence"
UNFINISHED = "not run yet"


def selected(name: str) -> tuple[Plan, Plan, pd.DataFrame]:
    """Of a sweep of `examples/evidence`: the plan as asked, as it ran last, and what that has scored so far."""
    prepared = prepare(SWEEPS / f"{name}.yaml")
    ledger = Ledger(Path(prepared.config.output))
    if not ledger.files.plan.exists():
        return prepared.plan, prepared.plan, pd.DataFrame()
    ran = ledger.read_plan()
    return prepared.plan, ran, selected_cases("source_val", ran, ledger.cases_frame(ran), ledger.curves_frame(ran))


def read(name: str) -> tuple[Plan, pd.DataFrame]:
    """The plan of a sweep, and its table: a row per arm (no setting), network and column."""
    asked, ran, cases = selected(name)
    if cases.empty:
        return asked, pd.DataFrame()
    table = matrix(cases, ran)
    return asked, table.assign(arm=table["arm"].astype(str).str.partition(" ")[0])


def row(dice: pd.DataFrame, role: str, target: str, **wanted: str) -> "pd.Series[Any] | None":
    """The row of a target; in-domain there is one per arm. `wanted` are columns."""
    if dice.empty:
        return None
    chosen = dice[dice["role"] == role]
    chosen = chosen if role == "in_domain" else chosen[chosen["target"] == target]
    for column, value in wanted.items():
        chosen = chosen[chosen[column].astype(str) == value]
    return None if chosen.empty else chosen.iloc[0]


def dice_text(found: "pd.Series[Any] | None") -> str:
    """Mean and interval, or that it was not run."""
    return UNFINISHED if found is None else f"{found['mean']:.2f} [{found['low']:.2f}, {found['high']:.2f}]"
