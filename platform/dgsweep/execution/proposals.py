"""The trials that earlier runs proposed, found in the ledger and put back into a plan."""

from dgsweep.config.schema import SweepConfig
from dgsweep.method.catalog import declarations_for
from dgsweep.plan.proposal import Proposer, with_earlier
from dgsweep.plan.trial import Plan
from dgsweep.records.ledger import Ledger


def proposer_of(config: SweepConfig, plan: Plan) -> Proposer:
    """What makes the trials of the plan's searched cells."""
    methods = declarations_for({spec.method for spec in plan.trials}) if plan.searches else {}
    return Proposer(config, plan, methods)


def known_now(config: SweepConfig, plan: Plan, ledger: Ledger) -> Plan:
    """The plan with what a driver has proposed since it was made."""
    return with_known(plan, proposer_of(config, plan), ledger)


def with_known(plan: Plan, proposer: Proposer, ledger: Ledger) -> Plan:
    """The plan with what the ledger knows of its searched cells; the plan itself where none is searched."""
    return with_earlier(plan, proposer, ledger.known_trials()) if plan.searches else plan
