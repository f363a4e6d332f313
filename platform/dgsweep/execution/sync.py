"""Rebuilds what MLflow lacks from the ledger."""

from dgsweep.analysis.selection import select
from dgsweep.config.secrets import without_password
from dgsweep.errors import DgsweepError
from dgsweep.execution.settled import settled
from dgsweep.records.ledger import Ledger
from dgsweep.records.mlflow_view import MlflowView


def sync_mlflow(ledger: Ledger, uri: str | None = None) -> None:
    """Write every finished trial of the plan that MLflow does not hold yet; a second call changes nothing.

    Args:
        ledger: Of the sweep.
        uri: Tracking address with its password, if it has one; None takes the plan's, which has none.

    Raises:
        DgsweepError: MLflow cannot be reached.
    """
    plan = ledger.read_plan()
    tracking = plan.config["tracking"]
    uri = uri or str(tracking["uri"])
    view = MlflowView(uri, tracking["experiment"] or plan.sweep, ledger.output)
    view.start(plan)
    cases, curves = ledger.cases_frame(plan), ledger.curves_frame(plan)
    selected = {rule: select(rule, plan, cases, curves) for rule in plan.config["selection"]}
    if not view.sync(plan, ledger, selected):
        raise DgsweepError(f"MLflow at {without_password(uri)} is not up to date; try again when it answers")
    over = all(state in settled(plan) for state in ledger.states_of(plan.trials).values())
    done = over and not any(plan.to_propose.values())
    view.finish("FINISHED" if done else "FAILED")
