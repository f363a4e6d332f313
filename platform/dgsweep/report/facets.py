"""What a reader can filter the page by."""

from dataclasses import dataclass

from dgsweep.analysis.frames import is_baseline
from dgsweep.report.evidence import Evidence
from dgsweep.report.grid import script_json
from dgsweep.report.panels import Panel
from dgsweep.report.texts import method_name


@dataclass(frozen=True, kw_only=True)
class Facets:
    """Facet -> its values, of facets with more than one. `names` tells what a name in a figure stands for."""

    values: dict[str, tuple[str, ...]]
    every: dict[str, tuple[str, ...]]
    names: dict[str, tuple[str, str]]

    @property
    def json(self) -> str:
        """For a script element."""
        return script_json({"values": self.every, "names": self.names})


def facets(evidence: Evidence, found: list[Panel]) -> Facets:
    """Methods (ERM first), networks, source sets and targets of everything that was scored."""
    arms, networks, sources, targets = set[str](), set[str](), set[str](), set[str]()
    names: dict[str, tuple[str, str]] = {}
    for panel in found:
        for matrix in (panel.by_sequence, panel.by_domain):
            sources |= set(map(str, matrix["source_set"]))
            targets |= set(map(str, matrix["target"]))
        pairs = {
            (str(arm), str(network)) for arm, network in zip(panel.table["arm"], panel.table["network"], strict=True)
        }
        arms, networks = arms | {arm for arm, _ in pairs}, networks | {network for _, network in pairs}
        names |= {method_name(*pair, several_networks=evidence.several_networks): pair for pair in sorted(pairs)}
    every = {
        "method": tuple(sorted(arms, key=lambda name: (not is_baseline(name.partition(" · ")[0]), name))),
        "network": tuple(sorted(networks)),
        "source": tuple(sorted(sources)),
        "target": tuple(sorted(targets, key=lambda name: (name != "in-domain", name))),
    }
    return Facets(values={name: own for name, own in every.items() if len(own) > 1}, every=every, names=names)
