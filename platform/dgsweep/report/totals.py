"""What ran, what failed, whether the budget was equal, and what it cost."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from dgsweep.plan.trial import BASELINE, SIDE_PANELS, Plan
from dgsweep.report.evidence import Evidence
from dgsweep.report.texts import count, duration, listed

ORDER = ("done", "running", "planned", "stale", "failed", "pruned")
MEANING = {
    "done": "finished and intact",
    "running": "under way now",
    "planned": "not begun, or interrupted",
    "stale": "trained, a score is missing or out of date",
    "failed": "stopped with an error",
    "pruned": "stopped early by the scheduler; never selected",
}
COST = [
    "arm",
    "network",
    "trials",
    "pruned",
    "steps",
    "wall_s",
    "wall_low_s",
    "wall_high_s",
    "total_s",
    "forward_per_step",
    "device",
]


@dataclass(frozen=True, kw_only=True)
class Tile:
    """A state and how many trials are in it."""

    state: str
    trials: int
    meaning: str


def tiles(evidence: Evidence) -> list[Tile]:
    """One tile per state that any trial is in, `done` always."""
    counts = evidence.states["state"].value_counts()
    return [
        Tile(state=state, trials=int(counts.get(state, 0)), meaning=MEANING[state])
        for state in ORDER
        if state == "done" or counts.get(state, 0)
    ]


def is_finished(evidence: Evidence) -> bool:
    """Whether every trial of the plan is done (or was pruned on purpose), and none is still to be proposed."""
    ended = bool(evidence.states["state"].isin(["done", "pruned"]).all())
    return ended and not any(evidence.plan.to_propose.values())


def scope(evidence: Evidence) -> str:
    """One sentence: how much was asked and how much was scored."""
    plan, cases = evidence.plan, evidence.cases
    compared = evidence.states["trial_id"].isin([spec.trial_id for spec in plan.compared])
    states = evidence.states[compared & (evidence.states["phase"] != "pretrain")]
    scored = cases[cases["role"].isin(["in_domain", "target"]) & ~cases["panel"].isin(SIDE_PANELS)]
    asked = (
        f"{count(states['arm'].nunique(), 'method')}, "
        f"{count(states['source_set'].nunique(), 'source set')}, "
        f"{count(len({spec.cell_id for spec in plan.compared}), 'cell')}{_beside(plan)}, "
        f"{count(sum(plan.weights().values()), 'trial')} planned"
    )
    if left := sum(plan.to_propose.values()):
        asked += f" ({left} of them not proposed yet)"
    patients = count(scored["patient_id"].nunique(), "patient")
    return f"{asked}; {count(scored['case_id'].nunique(), 'case')} of {patients} scored."


def _beside(plan: Plan) -> str:
    """How many cells stand beside those of the methods, in words."""
    beside = len({spec.cell_id for spec in plan.trials if spec.panel in SIDE_PANELS})
    return f" and {beside} beside them" if beside else ""


def budget(plan: Plan) -> tuple[bool, str]:
    """Whether every method got the same steps and the same number of trials per cell, and the sentence."""
    steps = sorted({spec.budget_steps for spec in plan.compared if spec.phase == "train"})
    sizes: dict[str, set[int]] = {}
    for method, cell_size in _cell_sizes(plan):
        sizes.setdefault(method, set()).add(cell_size)
    trials = sorted(set().union(*sizes.values())) if sizes else []
    equal = len(steps) <= 1 and len(trials) <= 1
    text = f"{listed([str(n) for n in steps])} steps a trial, {listed([str(n) for n in trials])} trial(s) a cell"
    said = f"Equal for every method: {text}." if equal else f"Not equal: {text}. Compare with care."
    return equal, f"{said}{_pretraining_budget(plan)}{_scheduler_budget(plan)}"


def _scheduler_budget(plan: Plan) -> str:
    if (plan.config.get("search") or {}).get("scheduler", "none") == "none":
        return ""
    return " Trials that the scheduler stopped early count as trials, and cost the steps that they took."


def _pretraining_budget(plan: Plan) -> str:
    if not plan.pretraining:
        return ""
    steps = listed([str(n) for n in sorted({spec.budget_steps for spec in plan.pretraining})])
    return f" Methods that start from a pretraining had {steps} further steps, on images alone."


def cost_table(evidence: Evidence) -> pd.DataFrame:
    """Median and range of wall time per finished trial, and forward passes per step where recorded.

    The number of trials and the sum of their time count pruned trials too; `pruned` says how many those are.
    """
    arms = evidence.states.set_index("trial_id")["arm"]
    rows = [
        {
            "arm": arms.at[trial_id],
            "network": evidence.specs[trial_id].network,
            "steps": _steps(found, evidence, trial_id),
            "wall_s": _real(found.get("train_wall_s", found.get("wall_s"))),
            "forward_per_step": _real(found.get("forward_passes")) / max(1, _steps(found, evidence, trial_id)),
            "device": "" if found.get("pruned") else _device(found),
            "pruned": bool(found.get("pruned")),
        }
        for trial_id, found in evidence.provenance.items()
    ]
    columns = ["arm", "network", "steps", "wall_s", "forward_per_step", "device", "pruned"]
    frame = pd.DataFrame(rows, columns=columns)
    costs = [_cost(str(arm), str(network), part) for (arm, network), part in frame.groupby(["arm", "network"])]
    return pd.DataFrame(costs, columns=COST)


def unfinished_searches(plan: Plan, finished: set[str]) -> list[str]:
    """Cells that were chosen from only some of their trials; `finished` are those that are done or pruned."""
    cells: dict[str, list[bool]] = {}
    names: dict[str, str] = {}
    for spec in plan.trials:
        cells.setdefault(spec.cell_id, []).append(spec.trial_id in finished)
        names.setdefault(spec.cell_id, spec.name.rsplit(" trial ", 1)[0])
    left = plan.to_propose  # counted from every trial each time it is asked for
    asked = {cell: len(done) + left.get(cell, 0) for cell, done in cells.items()}
    return [
        f"{names[cell]}: {sum(done)} of {asked[cell]}" for cell, done in cells.items() if 0 < sum(done) < asked[cell]
    ]


def cost_rows(table: pd.DataFrame) -> Iterator[dict[str, str]]:
    """The cost table as text."""
    for row in table.to_dict("records"):
        forward = row["forward_per_step"]
        yield {
            "method": f"{row['arm']}",
            "network": f"{row['network']}",
            "trials": f"{row['trials']}" + (f" ({row['pruned']} pruned)" if row["pruned"] else ""),
            "steps": f"{row['steps']}",
            "wall": duration(row["wall_s"]),
            "range": f"{duration(row['wall_low_s'])} to {duration(row['wall_high_s'])}",
            "total": duration(row["total_s"]),
            "forward": f"{forward:.2f}" if forward == forward else "not recorded",  # noqa: PLR0124 - NaN differs from itself
            "device": f"{row['device']}",
        }


def idle_methods(evidence: Evidence) -> list[str]:
    """Methods that took part in no step and no prediction of a finished trial: ERM by another name there."""
    arms = evidence.states.set_index("trial_id")["arm"]
    idle = {
        str(arms[key])
        for key, found in evidence.provenance.items()
        if found.get("active_steps") == 0 and found.get("active_cases", 0) == 0
    }
    return sorted(
        idle
        - {
            str(arms[key])
            for key, spec in evidence.specs.items()
            if spec.method == BASELINE or spec.phase == "pretrain"
        }
    )


def in_parts(evidence: Evidence) -> list[str]:
    """Trials whose device could not hold a batch: how they trained instead, and whether that is the same training."""
    found = [(key, said["micro_batches"]) for key, said in evidence.provenance.items() if said.get("micro_batches")]
    return [
        f"{evidence.specs[key].full_name}: {note['parts']} parts of a batch of {note['batch']}, "
        + ("the same gradients up to rounding" if note["same_gradients"] else "; ".join(note["differences"]))
        for key, note in found
    ]


def _steps(found: Mapping[str, Any], evidence: Evidence, trial_id: str) -> int:
    """Steps that were taken, which early stopping may make fewer than the budget."""
    return int(found.get("steps") or evidence.specs[trial_id].budget_steps)


def _device(found: Mapping[str, Any]) -> str:
    device = str(found.get("device") or "cpu")
    return str(found.get("cpu") or device) if device == "cpu" else device


def _cost(arm: str, network: str, part: pd.DataFrame) -> dict[str, object]:
    whole = part[~part["pruned"].astype(bool)]
    steps = sorted(set(whole["steps"]))
    return {
        "arm": arm,
        "network": network,
        "trials": len(part),
        "pruned": len(part) - len(whole),
        "steps": " / ".join(str(n) for n in steps),
        "wall_s": float(whole["wall_s"].median()),
        "wall_low_s": float(whole["wall_s"].min()),
        "wall_high_s": float(whole["wall_s"].max()),
        "total_s": float(part["wall_s"].sum()),
        "forward_per_step": float(part["forward_per_step"].mean()),
        "device": listed(sorted(set(part["device"]) - {""}), 2),
    }


def _cell_sizes(plan: Plan) -> Iterator[tuple[str, int]]:
    sizes: dict[tuple[str, str], int] = {}
    for spec in (spec for spec in plan.compared if spec.phase == "train"):
        key = spec.method, spec.cell_id
        sizes[key] = sizes.get(key, 0) + 1
    left = plan.to_propose
    for (method, cell), size in sizes.items():
        yield method, size + left.get(cell, 0)


def _real(value: object) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")
