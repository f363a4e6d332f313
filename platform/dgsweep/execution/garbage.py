"""Checkpoints that nothing needs any more, and their removal."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from dgsweep.analysis.selection import select
from dgsweep.execution.settled import settled
from dgsweep.plan.trial import Plan, TrialSpec
from dgsweep.records.ledger import Ledger
from dgsweep.records.state import TrialState
from dgsweep.storage.files import names, remove_file
from dgsweep.storage.place import AnyPath


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

    What is kept: every file of a trial that is not over (a pruned one is while there is a scheduler); the weights of
    each trial that a rule of the sweep chooses, and of all trials of a cell in which some are not over or still to be
    proposed, since the choice is open there; whatever another trial of the plan depends on. Trials that the plan does
    not name are left alone.
    """
    states = ledger.states_of(plan.all_trials)
    over = {trial_id: state for trial_id, state in states.items() if state in settled(plan)}
    needed = _needed(ledger, plan, over)
    members = [spec for spec in plan.all_trials if spec.trial_id in over]
    return [one for spec in members for one in _of(ledger, spec, over[spec.trial_id], needed)]


def remove(found: Sequence[Garbage]) -> int:
    """Remove files; bytes that became free. A second call, or one that was killed, does no harm."""
    for one in found:
        remove_file(one.path)
    return sum(one.size for one in found)


def _needed(ledger: Ledger, plan: Plan, over: Collection[str]) -> set[str]:
    """Ids of the trials whose final weights stay."""
    cases, curves = ledger.cases_frame(plan), ledger.curves_frame(plan)
    needed = {start for spec in plan.all_trials for start in spec.depends_on}
    for rule in plan.config["selection"]:
        needed |= set(select(rule, plan, cases, curves).values())
    open_cells = {spec.cell_id for spec in plan.trials if spec.trial_id not in over}
    open_cells |= {cell_id for cell_id, left in plan.to_propose.items() if left}
    return needed | {spec.trial_id for spec in plan.trials if spec.cell_id in open_cells}


def _of(ledger: Ledger, spec: TrialSpec, state: TrialState, needed: set[str]) -> Iterator[Garbage]:
    kept = ledger.paths(spec.trial_id).final_weights if spec.trial_id in needed else None
    folder = ledger.paths(spec.trial_id).checkpoint
    for path in (folder / name for name in names(folder)):
        if path != kept:
            beside = "left beside the final weights" if kept else "no rule chose it"
            reason = "pruned" if state is TrialState.PRUNED else beside
            yield Garbage(path=path, name=spec.full_name, reason=reason, size=path.stat().st_size)
