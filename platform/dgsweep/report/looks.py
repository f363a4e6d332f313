"""One colour a method, in every figure of the page."""

from dgsweep.analysis.frames import is_baseline
from dgsweep.report.evidence import Evidence
from dgsweep.report.figures import DASHES, MARKERS, PALETTE, Style
from dgsweep.report.texts import method_name


def looks(evidence: Evidence) -> dict[str, Style]:
    """Style of each method by its name, and by its name with a network where there are several.

    ERM comes first. The colour is the method's; marker and dash differ by network as well.
    """
    plan = evidence.plan
    compared = {spec.trial_id for spec in (*plan.compared, *plan.pretraining)}
    states = evidence.states[evidence.states["trial_id"].isin(compared)]
    arms = sorted(set(states["arm"].astype(str)), key=lambda arm: (not is_baseline(arm.partition(" · ")[0]), arm))
    networks = sorted(set(states["network"].astype(str)))
    plain = {arm: style(place) for place, arm in enumerate(arms)}
    return plain | {
        method_name(arm, network, several_networks=True): style(place, other)
        for place, arm in enumerate(arms)
        for other, network in enumerate(networks)
    }


def style(method: int, network: int = 0) -> Style:
    """Of the method and network in these places."""
    other = method + network
    return Style(
        colour=PALETTE[method % len(PALETTE)], marker=MARKERS[other % len(MARKERS)], dash=DASHES[other % len(DASHES)]
    )
