"""Everything that a report rests on, read from the ledger once."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from dgsweep.analysis.frames import Level, arm_name, as_categories, target_level
from dgsweep.analysis.statistics import Bootstrap
from dgsweep.errors import InputError, Problem
from dgsweep.plan.trial import Plan, TrialSpec
from dgsweep.records.ledger import Ledger
from dgsweep.report.observers import NOBODY, Observers, read_observers
from dgsweep.storage.files import exists, read_bytes
from dgsweep.storage.place import AnyPath


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """The plan, how far it came, and what its trials left behind."""

    ledger: Ledger
    plan: Plan
    specs: Mapping[str, TrialSpec]
    states: pd.DataFrame
    """One row per trial of the plan, with `arm`, `source_set`, `phase` and `kind` (of failure) added."""
    cases: pd.DataFrame
    curves: pd.DataFrame
    provenance: Mapping[str, Mapping[str, Any]]
    """trial id -> provenance, of finished trials, and what pruned ones cost."""
    files: Mapping[str, Mapping[str, Any]]
    """case id -> {image, label, label_values}, as the driver noted them; {} when it did not."""
    bootstrap: Bootstrap
    observers: Observers = NOBODY
    """What readers agree on, where scans were read twice."""

    @property
    def rules(self) -> tuple[str, ...]:
        """Selection rules of the sweep, in its order."""
        return tuple(self.plan.config.get("selection") or ("source_val",))

    @property
    def level(self) -> Level:
        """What a column of the main tables is."""
        return target_level(self.plan)

    @property
    def asks_for_shifts(self) -> bool:
        """Whether any trial is to be scored outside its own domains."""
        return any(set(spec.targets) - set(spec.sources) for spec in self.plan.compared)

    @property
    def several_networks(self) -> bool:
        """Whether rows must name their backbone."""
        return len({spec.network for spec in self.plan.trials}) > 1


def read_evidence(output: AnyPath) -> Evidence:
    """Read the ledger under `output`.

    Raises:
        InputError: there is no plan.json there.
    """
    ledger = Ledger(output)
    if not exists(ledger.files.plan):
        problem = Problem(where=str(output), found="no plan.json", fix="name the output folder of a sweep that was run")
        raise InputError("no sweep to report on", [problem])
    plan = ledger.read_plan()
    specs = {spec.trial_id: spec for spec in plan.all_trials}
    states = ledger.states(plan)
    files = _case_files(output / "cases.json")
    done = set(states.loc[states["state"] == "done", "trial_id"])
    ended = list(states.loc[states["state"].isin(["done", "pruned"]), "trial_id"])
    return Evidence(
        ledger=ledger,
        plan=plan,
        specs=specs,
        states=_named(states, specs, ledger),
        cases=as_categories(ledger.cases_frame(plan, done=done, coded=True)),
        curves=as_categories(ledger.curves_frame(plan, unfinished=True, coded=True)),
        provenance=dict(zip(ended, ledger.each(ledger.provenance, ended), strict=True)),
        files=files,
        bootstrap=_bootstrap(plan.config.get("metrics") or {}),
        observers=read_observers(output, files),
    )


def _named(states: pd.DataFrame, specs: Mapping[str, TrialSpec], ledger: Ledger) -> pd.DataFrame:
    ids = list(states["trial_id"])
    return states.assign(
        arm=[arm_name(specs[trial_id]) for trial_id in ids],
        source_set=[_shown_sources(specs[trial_id]) for trial_id in ids],
        phase=[specs[trial_id].phase for trial_id in ids],
        kind=[str(failure.get("kind", "")) for failure in ledger.each(ledger.failure, ids)],
    )


def _shown_sources(spec: TrialSpec) -> str:
    """A pretraining's curves are of another kind, and stand apart."""
    return f"images alone of {spec.sources_label}" if spec.phase == "pretrain" else spec.sources_label


def _case_files(path: AnyPath) -> dict[str, dict[str, Any]]:
    try:
        plain = json.loads(read_bytes(path))
    except FileNotFoundError:
        return {}
    return {str(case_id): dict(entry) for case_id, entry in plain.items()}


def _bootstrap(metrics: Mapping[str, Any]) -> Bootstrap:
    default = Bootstrap()
    return Bootstrap(
        draws=int(metrics.get("bootstrap", default.draws)),
        confidence=float(metrics.get("confidence", default.confidence)),
    )
