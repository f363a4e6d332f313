"""Starting from a trial that ran before: do its weights fit a cell, and has it seen what the cell scores?"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from dgsweep.plan.grid import NetworkEntry
from dgsweep.plan.roles import TrialCases
from dgsweep.plan.trial import Panel, TrialSpec

_LISTED = 3


@dataclass(frozen=True, kw_only=True)
class GivenTrial:
    """A finished trial, perhaps of another sweep."""

    spec: TrialSpec
    checkpoint: str
    """Absolute path of its weights."""
    sha256: str
    """Of that file: weights that change are another start."""
    ancestors: tuple[TrialSpec, ...] = ()
    """What it started from itself, and so on."""

    @property
    def history(self) -> tuple[TrialSpec, ...]:
        """Every training that left a trace in the weights."""
        return (self.spec, *self.ancestors)


@dataclass(frozen=True, kw_only=True)
class GivenStart:
    """What a method's training starts from when it is no pretraining of the sweep."""

    trial: GivenTrial
    head: Literal["keep", "new"]

    @property
    def label(self) -> str:
        """Short text for tables."""
        spec = self.trial.spec
        return f"{spec.method} of {spec.sweep}, trial {spec.trial_id[:8]}"

    def identity(self) -> dict[str, str]:
        """What enters the id of a trial that starts from it."""
        return {"weights": self.trial.sha256, "head": self.head}

    def document(self) -> dict[str, str]:
        """What the worker needs."""
        return {"checkpoint": self.trial.checkpoint, "sha256": self.trial.sha256, "head": self.head}


def unfit_start(
    start: GivenStart, network: NetworkEntry, labels: Mapping[str, int], cases: TrialCases, patients: Mapping[str, str]
) -> str:
    """Why a cell cannot start from the trial, or '' when it can. `patients` is case id -> patient id, of all cases."""
    return _other_network(start.trial.spec, network) or _other_labels(start, labels) or _seen(start, cases, patients)


def _other_network(spec: TrialSpec, network: NetworkEntry) -> str:
    """By name and recipe; options and channels show in the shapes of the weights, compared before training."""
    own = (network.declaration.name, network.declaration.recipe_version)
    if (spec.network, spec.network_recipe) == own:
        return ""
    made = f"{spec.network} (recipe {spec.network_recipe})"
    return f"the trial {spec.trial_id} holds weights of {made}, and the cell's network is {own[0]} (recipe {own[1]})"


def _other_labels(start: GivenStart, labels: Mapping[str, int]) -> str:
    known, wanted = list(start.trial.spec.preprocessing.labels), list(labels)
    if start.head == "new" or start.trial.spec.phase == "pretrain" or known == wanted:
        return ""
    return (
        f"the trial {start.trial.spec.trial_id} segments {', '.join(known)}, and the sweep {', '.join(wanted)}; "
        "set init_from.head: new, so that the last layers are learnt anew"
    )


def _seen(start: GivenStart, cases: TrialCases, patients: Mapping[str, str]) -> str:
    """Nobody is scored whom the start was trained or validated on, in whatever sequence; both may validate on one."""
    held_out = {case.patient_id for case in (*cases.test, *cases.target)}
    chosen_on = {case.patient_id for case in cases.val} - held_out
    both = sorted(_people(_learnt_from(start), patients) & held_out)
    both += sorted(_people(_trained_on(start), patients) & chosen_on)
    if not both:
        return ""
    listed = ", ".join(both[:_LISTED]) + (" ..." if len(both) > _LISTED else "")
    return f"the trial {start.trial.spec.trial_id} learnt from {len(both)} patient(s) that the cell scores ({listed})"


def _people(names: set[str], patients: Mapping[str, str]) -> set[str]:
    return {patients[name] for name in names if name in patients}


def strangers(start: GivenStart, patients: Mapping[str, str]) -> int:
    """How many scans the start learnt from that the manifest does not name, so that nobody can tell whose they are."""
    return sum(name not in patients for name in _learnt_from(start))


def _learnt_from(start: GivenStart) -> set[str]:
    """Case ids, of validation too."""
    return _trained_on(start) | {name for spec in start.trial.history for name in spec.split.val}


def _trained_on(start: GivenStart) -> set[str]:
    """Case ids."""
    return {name for spec in start.trial.history for name in (*spec.split.train, *spec.split.unlabelled)}


def panel_of_start(start: GivenStart, targets: set[str]) -> Panel:
    """Where a cell with these target domains stands: whose labels, or images, of them the start has seen."""
    history = start.trial.history
    labelled = {spec.domains.get(name) for spec in history for name in (*spec.split.train, *spec.split.val)}
    if labelled & targets:
        return "oracle"
    shown = {spec.domains.get(name) for spec in history for name in spec.split.unlabelled}
    return "transductive" if shown & targets else "main"
