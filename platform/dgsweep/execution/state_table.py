"""States of a sweep's trials as rows for a table."""

from typing import Any

from dgsweep.errors import InputError
from dgsweep.plan.trial import Plan
from dgsweep.records.ledger import Ledger


def state_table(ledger: Ledger, plan: Plan | None = None) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """One row per trial of the plan (None: of the last run's), and how many trials are in each state.

    Raises:
        InputError: the folder holds no sweep.
    """
    if not ledger.files.plan.exists():
        raise InputError(f"{ledger.output}: no plan.json there; give the output folder of a sweep, or its sweep.yaml")
    wanted = plan or ledger.read_plan()
    frame = ledger.states(wanted)
    frame = frame.astype(object).where(frame.notna(), None)
    rows: list[dict[str, Any]] = [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]
    counts: dict[str, int] = {}
    for row in rows:
        row["state"] = str(row["state"])
        row["step"] = row["steps"] if row["state"] == "done" else row["step"]
        counts[row["state"]] = counts.get(row["state"], 0) + 1
    if left := sum(wanted.to_propose.values()):
        counts["to propose"] = left
    return rows, counts
