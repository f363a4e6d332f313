"""Which trials a person wants to run again."""

from collections.abc import Sequence

from dgsweep.errors import InputError, Problems
from dgsweep.execution.settled import settled
from dgsweep.plan.trial import Plan, TrialSpec
from dgsweep.records.ledger import Ledger
from dgsweep.records.state import TrialState

OVER = "is done; a finished trial is never run again"
STOPPED = "was stopped by the scheduler"
GO_ON = "search.scheduler: none lets such trials go on with `dgsweep run`"


def to_retry(ledger: Ledger, plan: Plan, trial_ids: Sequence[str], *, failed: bool) -> list[str]:
    """Ids of the failed trials, or of those that are named by their id or the beginning of it.

    Raises:
        InputError: with every name that fits no trial, or several, or one that is done or stays pruned; or when
            nothing failed.
    """
    states = ledger.states_of(plan.all_trials)
    over = settled(plan)
    chosen = [key for key, state in states.items() if failed and state is TrialState.FAILED]
    problems = Problems()
    for wanted in trial_ids:
        found = [key for key in states if key.startswith(wanted)]
        if len(found) != 1:
            problems.add(wanted, f"fits {len(found)} trials", "an id as `dgsweep status` shows it")
        elif states[found[0]] is TrialState.DONE:
            problems.add(wanted, OVER)
        elif states[found[0]] in over:
            problems.add(wanted, STOPPED, GO_ON)
        else:
            chosen += found
    problems.raise_if_any(InputError, "not every trial can be run again:")
    if not chosen:
        raise InputError("no trial failed: there is nothing to retry; `dgsweep run` goes on with what is planned")
    open_specs = [spec for spec in plan.all_trials if states[spec.trial_id] not in over]
    return _with_dependants(list(dict.fromkeys(chosen)), open_specs)


def _with_dependants(chosen: list[str], specs: Sequence[TrialSpec]) -> list[str]:
    """Trials that wait for a chosen one (a pretraining, a trial that gives prompts) are run after it."""
    waiting = [spec.trial_id for spec in specs if set(spec.depends_on) & set(chosen)]
    return list(dict.fromkeys([*chosen, *waiting]))
