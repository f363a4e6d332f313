"""Where a sweep stands, read from its output folder alone: from any machine that sees it, whether or not it runs."""

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dgsweep.errors import InputError
from dgsweep.execution.watch import all_costs
from dgsweep.method.catalog import method_declarations
from dgsweep.plan.trial import Plan, TrialSpec
from dgsweep.records.ledger import Ledger
from dgsweep.records.steering import TrialCost, driver_state
from dgsweep.storage.files import exists

HOUR_S = 3600.0
UNPLANNED = "not in the plan"
"""Trials of earlier versions of the sweep file, whose cost was paid too."""
OPEN = ("planned", "running", "stale")
TO_PROPOSE = "to propose"
"""Trials of searched cells that nobody has proposed yet: they are counted, and have no row."""


def sweep_status(ledger: Ledger, plan: Plan | None = None) -> dict[str, Any]:
    """Trials with their states, how many are in each, the driver, time to go, and what was spent.

    Args:
        ledger: The output folder.
        plan: The plan to compare it with; None: that of the last run.

    Raises:
        InputError: the folder holds no sweep.
    """
    require_sweep(ledger)
    plan = plan or ledger.read_plan()
    costs = all_costs(ledger)
    rows = _rows(ledger, plan, costs)
    counts: dict[str, int] = {}
    for row in rows:
        counts[row["state"]] = counts.get(row["state"], 0) + 1
    to_propose = sum(plan.to_propose.values())
    if to_propose:
        counts[TO_PROPOSE] = to_propose
    return {
        "output": str(ledger.output),
        "counts": counts,
        "driver": driver_state(ledger.files),
        "eta_s": _eta_s(rows, to_propose),
        "cost": _spent(plan.all_trials, rows, costs),
        "trials": rows,
    }


def require_sweep(ledger: Ledger) -> None:
    """Raise InputError unless a sweep was run in this folder."""
    if not exists(ledger.files.plan):
        raise InputError(f"{ledger.output}: no plan.json there; give the output folder of a sweep, or its sweep.yaml")


def _rows(ledger: Ledger, plan: Plan, costs: Mapping[str, TrialCost]) -> list[dict[str, Any]]:
    frame = ledger.states(plan)
    frame = frame.astype(object).where(frame.notna(), None)
    rows: list[dict[str, Any]] = [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]
    for row in rows:
        row["state"] = str(row["state"])
        row["step"] = row["steps"] if row["state"] == "done" else row["step"]
        row["heartbeat_age_s"] = _age_s(ledger, row)
        row["traceback"] = _traceback(ledger, row)
        row.update(_cost_columns(costs.get(row["trial_id"], TrialCost())))
    return rows


def _age_s(ledger: Ledger, row: Mapping[str, Any]) -> float | None:
    """Seconds since the last sign of life, of a trial that is not over; 0 where another node's clock is ahead."""
    beat = ledger.progress(row["trial_id"]).get("time") if row["state"] in OPEN else None
    return max(0.0, time.time() - float(beat)) if isinstance(beat, int | float) else None


def _traceback(ledger: Ledger, row: Mapping[str, Any]) -> str:
    return str(ledger.failure(row["trial_id"]).get("traceback", "")) if row["state"] == "failed" else ""


def _cost_columns(cost: TrialCost) -> dict[str, Any]:
    return {
        "attempts": cost.attempts,
        "wall_s": cost.wall_s,
        "gpu_hours": cost.gpu_s / HOUR_S,
        "core_hours": cost.core_s / HOUR_S,
        "computed_steps": cost.steps,
    }


def _eta_s(rows: Sequence[Mapping[str, Any]], to_propose: int) -> float | None:
    """Seconds to go at as many trials at a time as run now; None while none runs or none tells how long one takes.

    Where a scheduler stops trials it is less.
    """
    running = [row for row in rows if row["state"] == "running"]
    pace_s = _seconds_a_trial(rows)
    if not running or pace_s is None:
        return None
    shares = (1.0 - min(1.0, row["step"] / max(1, row["steps"])) for row in rows if row["state"] in OPEN)
    return (sum(shares) + to_propose) * pace_s / len(running)


def _seconds_a_trial(rows: Sequence[Mapping[str, Any]]) -> float | None:
    """Mean of the trials that are done; before the first, what the running ones took for their share."""
    done = [row["wall_s"] for row in rows if row["state"] == "done" and row["wall_s"]]
    if done:
        return float(sum(done)) / len(done)
    begun = [row for row in rows if row["state"] == "running" and row["step"] and row["wall_s"]]
    share = sum(row["step"] / max(1, row["steps"]) for row in begun)
    return float(sum(row["wall_s"] for row in begun) / share) if share else None


def _spent(
    specs: Sequence[TrialSpec], rows: Sequence[Mapping[str, Any]], costs: Mapping[str, TrialCost]
) -> list[dict[str, Any]]:
    """One row per state that cost anything, and `all`; forward passes are those of each method's declaration."""
    states = {row["trial_id"]: row["state"] for row in rows}
    passes = _passes_per_step(specs)
    grouped: dict[str, list[str]] = {}
    for trial_id, cost in costs.items():
        if cost.attempts:
            grouped.setdefault(states.get(trial_id, UNPLANNED), []).append(trial_id)
    found = [_sum(state, members, costs, passes) for state, members in grouped.items()]
    everything = [trial_id for members in grouped.values() for trial_id in members]
    return [*found, _sum("all", everything, costs, passes)]


def _passes_per_step(specs: Iterable[TrialSpec]) -> dict[str, float]:
    declared = method_declarations()
    return {
        spec.trial_id: declared[spec.method].forward_passes_per_step if spec.method in declared else 1.0
        for spec in specs
    }


def _sum(
    state: str, members: Sequence[str], costs: Mapping[str, TrialCost], passes: Mapping[str, float]
) -> dict[str, Any]:
    total = sum((costs[key] for key in members), TrialCost())
    columns = _cost_columns(total)
    return {
        "state": state,
        "trials": len(members),
        "attempts": total.attempts,
        "wall_h": total.wall_s / HOUR_S,
        "gpu_hours": columns["gpu_hours"],
        "core_hours": columns["core_hours"],
        "steps": total.steps,
        "forward_passes": round(sum(costs[key].steps * passes.get(key, 1.0) for key in members)),
    }
