"""Checkpoints that nothing needs any more, and their removal."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dgsweep.analysis.selection import select
from dgsweep.plan.trial import Plan, TrialSpec
from dgsweep.records.ledger import Ledger
from dgsweep.records.state import TrialState
from dgsweep.storage.files import names, remove_file
from dgsweep.storage.place import AnyPath

OVER = (TrialState.DONE, TrialState.PRUNED)


@dataclass(frozen=True, kw_only=True)
class Garbage:
    """One file that may go."""

    path: AnyPath
    name: str
    """Of its trial."""
    reason: str
    size: int
    """Bytes."""


def garbage(ledger: Ledger, plan: Plan) -> list[Garbage]:
    """Checkpoints that no resume, no selection rule, no prediction and no other trial needs.

    What is kept: every file of a trial that is not over; the weights of each trial that a rule of the sweep chooses,
    and of all trials of a cell in which some are not over, since the choice is still open there; whatever another
    trial of the plan depends on. Trials that the plan does not name are left alone.
    """
    states = {spec.trial_id: ledger.state(spec) for spec in plan.all_trials}
    needed = _needed(ledger, plan, states)
    return [found for spec in plan.all_trials for found in _of(ledger, spec, states[spec.trial_id], needed)]


def remove(found: Sequence[Garbage]) -> int:
    """Remove files; bytes that became free. A second call, or one that was killed, does no harm."""
    for one in found:
        remove_file(one.path)
    return sum(one.size for one in found)


def _needed(ledger: Ledger, plan: Plan, states: dict[str, TrialState]) -> set[str]:
    """Ids of the trials whose final weights stay."""
    cases, curves = ledger.cases_frame(plan), ledger.curves_frame(plan)
    needed = {start for spec in plan.all_trials for start in spec.depends_on}
    for rule in plan.config["selection"]:
        needed |= set(select(rule, plan, cases, curves).values())
    open_cells = {spec.cell_id for spec in plan.trials if states[spec.trial_id] not in OVER}
    return needed | {spec.trial_id for spec in plan.trials if spec.cell_id in open_cells}


def _of(ledger: Ledger, spec: TrialSpec, state: TrialState, needed: set[str]) -> Iterator[Garbage]:
    """A failed trial keeps its files: it is tried again from them."""
    if state not in (TrialState.DONE, TrialState.PRUNED):
        return
    kept = ledger.paths(spec.trial_id).final_weights if spec.trial_id in needed else None
    folder = ledger.paths(spec.trial_id).checkpoint
    for path in (folder / name for name in names(folder)):
        if path != kept:
            beside = "left beside the final weights" if kept else "no rule chose it"
            reason = "pruned" if state is TrialState.PRUNED else beside
            yield Garbage(path=path, name=spec.full_name, reason=reason, size=path.stat().st_size)
