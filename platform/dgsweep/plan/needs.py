"""What a method needs against what a split gives."""

import math
from dataclasses import dataclass

from dgsweep.config.declaration import NetworkDeclaration, Requires
from dgsweep.plan.roles import TrialCases
from dgsweep.plan.trial import Panel


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What a sweep gives every method alike."""

    factors: tuple[str, ...]
    budget_steps: int
    eval_every: int


def refusal_reason(requires: Requires, network: NetworkDeclaration, cases: TrialCases, terms: Terms) -> str:
    """Why a method that requires this cannot run with the network on these cases, or '' when it can."""
    return (
        _missing_here(requires)
        or _unfit_network(requires, network, cases)
        or _too_few(requires, cases, terms.factors)
        or _nothing_unlabelled(requires, cases)
        or _too_coarse(requires, cases, terms)
    )


def _missing_here(requires: Requires) -> str:
    if requires.phase == "pretrain":
        return "it pretrains: name it in `init_from` of the method that is to start from it"
    if requires.prompts != "none":
        return f"it is trained and needs {requires.prompts} prompts, which only methods that are not trained get"
    return ""


def _unfit_network(requires: Requires, network: NetworkDeclaration, cases: TrialCases) -> str:
    if requires.affine_norms and not network.affine_norms:
        return f"it adapts scale and shift of norm layers, and those of {network.name} have none"
    if requires.denoiser and not network.denoises:
        return f"it needs a network that removes noise from a mask, such as medsegdiff, and {network.name} does not"
    if requires.no_batch_norms and network.batch_norms:
        return f"it ends with averaged weights, which the running statistics of {network.name}'s batch norms do not fit"
    return _too_flat(network, cases)


def _too_few(requires: Requires, cases: TrialCases, factors: tuple[str, ...]) -> str:
    domains, least = {case.domain(factors) for case in cases.train}, requires.min_source_domains
    if len(domains) >= least:
        return ""
    return f"it needs at least {least} source domains with training cases; here: {_listed(domains)}"


def _nothing_unlabelled(requires: Requires, cases: TrialCases) -> str:
    if requires.unlabelled == "none" or cases.unlabelled:
        return ""
    advice = "set protocol.label_ratio below 1, add scans without a label, or set unlabelled: target_train"
    return f"it learns from unlabelled scans, and no training patient has one here; {advice}"


def _too_coarse(requires: Requires, cases: TrialCases, terms: Terms) -> str:
    least, found = requires.min_validations, math.ceil(terms.budget_steps / terms.eval_every)
    if not least or (cases.val and found >= least):
        return ""
    if not cases.val:
        return "it follows the source validation, and no validation patient is left here"
    advice = f"set training.eval_every to {max(1, terms.budget_steps // least)} or less"
    return f"it follows the source validation and needs at least {least} of them, here {found}; {advice}"


def _too_flat(network: NetworkDeclaration, cases: TrialCases) -> str:
    """Why scans of a single slice do not suit the network, or ''. A 2D network takes them along z."""
    needed = "xyz"[: network.dims]
    for axis, letter in enumerate(needed):
        flat = sorted(case.case_id for case in cases.train if case.shape[axis] == 1)
        if flat:
            choice = "a 2D network" if letter == "z" else "scans of several slices"
            return (
                f"{network.name} is {network.dims}D and needs more than one voxel along {', '.join(needed)}; "
                f"{flat[0]} has one along {letter} (training cases like it: {len(flat)}); choose {choice}"
            )
    return ""


def _listed(domains: set[str]) -> str:
    return f"{len(domains)} ({', '.join(sorted(domains))})"


def panel_of(requires: Requires, *, sees_targets: bool) -> Panel:
    """The panel that a method's rows stand in, when its training is shown images of targets or is not."""
    if requires.reads_target:
        return "oracle"
    return "transductive" if sees_targets else "main"
