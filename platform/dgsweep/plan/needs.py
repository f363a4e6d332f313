"""What a method needs against what a split gives."""

from dgsweep.config.declaration import NetworkDeclaration, Requires
from dgsweep.plan.roles import TrialCases
from dgsweep.plan.trial import Panel


def refusal_reason(requires: Requires, network: NetworkDeclaration, cases: TrialCases, factors: tuple[str, ...]) -> str:
    """Why a method that requires this cannot run with the network on these cases, or '' when it can."""
    domains = {case.domain(factors) for case in cases.train}
    if requires.phase == "pretrain":
        return "it is a pretraining method, and this version plans training only"
    if requires.prompts != "none":
        return f"it needs {requires.prompts} prompts, and this version gives none"
    if requires.unlabelled != "none":
        return f"it needs unlabelled {requires.unlabelled} scans, and this version gives training none"
    if requires.affine_norms and not network.affine_norms:
        return f"it adapts scale and shift of norm layers, and those of {network.name} have none"
    if len(domains) < requires.min_source_domains:
        least = requires.min_source_domains
        return f"it needs at least {least} source domains with training cases; here: {_listed(domains)}"
    return ""


def _listed(domains: set[str]) -> str:
    return f"{len(domains)} ({', '.join(sorted(domains))})"


def panel_of(requires: Requires) -> Panel:
    """The panel that a method's rows stand in."""
    if requires.reads_target:
        return "oracle"
    return "transductive" if requires.unlabelled == "target" else "main"
