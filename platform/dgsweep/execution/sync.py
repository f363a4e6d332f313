"""Rebuilds what MLflow lacks from the ledger."""

from dgsweep.analysis.selection import select
from dgsweep.records.ledger import Ledger
from dgsweep.records.mlflow_view import MlflowView


def sync_mlflow(ledger: Ledger) -> None:
    """Write every finished trial of the plan that MLflow does not hold yet; a second call changes nothing."""
    plan = ledger.read_plan()
    tracking = plan.config["tracking"]
    view = MlflowView(tracking["uri"], tracking["experiment"] or plan.sweep, ledger.output)
    view.start(plan)
    cases, curves = ledger.cases_frame(plan), ledger.curves_frame(plan)
    view.sync(plan, ledger, {rule: select(rule, plan, cases, curves) for rule in plan.config["selection"]})
    view.finish("FINISHED")
