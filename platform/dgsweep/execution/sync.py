"""Rebuilds what MLflow lacks from the ledger."""

from dgsweep.analysis.selection import select
from dgsweep.errors import DgsweepError
from dgsweep.records.ledger import Ledger
from dgsweep.records.mlflow_store import without_password
from dgsweep.records.mlflow_view import MlflowView
from dgsweep.records.state import TrialState


def sync_mlflow(ledger: Ledger) -> None:
    """Write every finished trial of the plan that MLflow does not hold yet; a second call changes nothing.

    Raises:
        DgsweepError: MLflow cannot be reached.
    """
    plan = ledger.read_plan()
    tracking = plan.config["tracking"]
    view = MlflowView(tracking["uri"], tracking["experiment"] or plan.sweep, ledger.output)
    view.start(plan)
    cases, curves = ledger.cases_frame(plan), ledger.curves_frame(plan)
    selected = {rule: select(rule, plan, cases, curves) for rule in plan.config["selection"]}
    if not view.sync(plan, ledger, selected):
        raise DgsweepError(
            f"MLflow at {without_password(tracking['uri'])} is not up to date; try again when it answers"
        )
    done = all(ledger.state(spec) in (TrialState.DONE, TrialState.PRUNED) for spec in plan.trials)
    done = done and not any(plan.to_propose.values())
    view.finish("FINISHED" if done else "FAILED")
