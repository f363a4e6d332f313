"""What a person is told at the end of a run: the source x target matrix, counts, where things lie."""

import math
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

import pandas as pd

from dgsweep.analysis.frames import target_level
from dgsweep.analysis.selection import selected_cases
from dgsweep.analysis.tables import matrix
from dgsweep.execution.outcome import SweepOutcome
from dgsweep.execution.prepare import Prepared
from dgsweep.plan.trial import Plan
from dgsweep.records.ledger import Ledger

MARK = "*"
"""Marks the in-domain cell of a row."""
ROW_NAMES = {"arm": "method", "source_set": "trained_on", "network": "network", "panel": "panel"}
"""Columns that tell rows apart -> how they are called in the printout."""
ALWAYS_SHOWN = ("arm", "source_set")


def run_document(prepared: Prepared, outcome: SweepOutcome) -> dict[str, Any]:
    """Outcome of a run as plain values: matrix, counts, failed trials with causes, and the command for MLflow."""
    output = Path(prepared.config.output)
    ledger = Ledger(output)
    rows, title = matrix_rows(ledger.read_plan(), ledger)  # with the trials that the run proposed
    return {
        "name": prepared.plan.sweep,
        "output": str(output),
        "run": outcome.done,
        "reused": outcome.reused,
        "pruned": outcome.pruned,
        "failed": [failed._asdict() for failed in outcome.failed],
        "wall_s": round(outcome.wall_s, 1),
        "matrix_title": title,
        "matrix": rows,
        "mlflow": mlflow_command(prepared.config.tracking.uri),
    }


def mlflow_command(uri: str) -> str:
    """What opens the MLflow UI: a server's address, else the command, by its path if no environment is active."""
    if uri.startswith(("http://", "https://")):
        return f"open {uri}"
    found = shutil.which("mlflow")
    beside = Path(sys.executable).with_name("mlflow")
    program = str(beside) if found is None and beside.exists() else "mlflow"
    return f"{shlex.quote(program)} ui --backend-store-uri {shlex.quote(uri)}"


def matrix_rows(plan: Plan, ledger: Ledger) -> tuple[list[dict[str, Any]], str]:
    """Rows (one per method and source set, with the same columns) and title: mean Dice with its interval.

    In-domain cells carry a `*`. Nothing is returned before a trial is done.
    """
    rule = str(plan.config["selection"][0])
    chosen = selected_cases(rule, plan, ledger.cases_frame(plan), ledger.curves_frame(plan))
    if chosen.empty:
        return [], ""
    level = target_level(plan)
    table = matrix(chosen, plan, by=level)
    table = table[table["role"] != "val"]
    keys = [key for key in ROW_NAMES if table[key].nunique() > 1 or key in ALWAYS_SHOWN]
    targets = dict.fromkeys(_targets(plan, table))
    rows = [
        {ROW_NAMES[key]: name for key, name in zip(keys, names, strict=True)} | targets | _cells(part)
        for names, part in table.groupby(keys, sort=False)
    ]
    return rows, f"mean Dice [95 % interval over patients] by tested {level}; {MARK} in-domain; rule {rule}"


def _targets(plan: Plan, table: pd.DataFrame) -> list[str]:
    """Columns in the order of the source sets where they share names, then the rest."""
    known = list(dict.fromkeys(spec.sources_label for spec in plan.trials))
    names = [str(name) for name in dict.fromkeys(table["target"])]
    return sorted(names, key=lambda name: known.index(name) if name in known else len(known))


def _interval(cell: dict[Any, Any]) -> str:
    """Nothing where one patient gives none."""
    low, high = cell["low"], cell["high"]
    return f" [{low:.2f}, {high:.2f}]" if math.isfinite(low) and math.isfinite(high) else ""


def _cells(part: pd.DataFrame) -> dict[str, str]:
    return {
        str(cell["target"]): f"{cell['mean']:.2f}{_interval(cell)}" + (MARK if cell["role"] == "in_domain" else "")
        for cell in part.to_dict("records")
    }
