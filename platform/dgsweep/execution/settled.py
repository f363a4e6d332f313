"""Which trials a sweep does not run again."""

from dgsweep.plan.trial import Plan
from dgsweep.records.state import TrialState


def settled(plan: Plan) -> tuple[TrialState, ...]:
    """States in which a trial stays: done; and pruned as long as there is a scheduler, since without one it goes on."""
    scheduler = (plan.config.get("search") or {}).get("scheduler", "none")
    return (TrialState.DONE,) if scheduler == "none" else (TrialState.DONE, TrialState.PRUNED)
