"""Which trained trials predict: one trial, the selected trial of a cell, or several cells as an ensemble."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from dgsweep.analysis.selection import select
from dgsweep.errors import InputError, PlanError, Problem
from dgsweep.plan.trial import TrialSpec
from dgsweep.records.ledger import Ledger
from dgsweep.records.mlflow_store import OUTAGES, run_tag
from dgsweep.records.state import TrialState
from dgsweep.storage.files import exists
from dgsweep.storage.place import AnyPath, place

TRIAL_TAG = "dgsweep.trial_id"


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What a person says of the model; everything empty means the sweep's one cell."""

    trials: tuple[str, ...] = ()
    """Ids, or beginnings of ids."""
    method: str = ""
    network: str = ""
    sources: str = ""
    """Shell pattern on the source domains joined by `+`."""
    rule: str = "source_val"
    """Selects the trial of each cell."""
    ensemble: bool = False
    """Whether several cells (folds, seeds) predict together."""
    mlflow_run: str = ""
    tracking_uri: str = ""
    """Of the run; empty takes the sweep's."""


def chosen_trials(sweep: AnyPath | str, choice: Choice) -> tuple[Ledger, list[TrialSpec]]:
    """The ledger and the trials that predict, all finished.

    Args:
        sweep: Output of a sweep, or the folder of one trial in it.
        choice: What was asked for.

    Raises:
        InputError: nothing or too much fits; the message lists what there is.
    """
    folder = place(sweep)
    if exists(folder / "spec.json"):
        ledger = Ledger(folder.parent.parent)
        return ledger, [_finished(ledger, folder.name)]
    ledger = Ledger(folder)
    if choice.mlflow_run:
        return ledger, [_finished(ledger, _of_run(ledger, choice))]
    if choice.trials:
        return ledger, [_finished(ledger, _full_id(ledger, trial_id)) for trial_id in choice.trials]
    return ledger, _of_cells(ledger, choice)


def _of_cells(ledger: Ledger, choice: Choice) -> list[TrialSpec]:
    plan = ledger.read_plan()
    cases, curves = ledger.cases_frame(plan), ledger.curves_frame(plan)
    selected = set(select(choice.rule, plan, cases, curves).values())
    fitting = [spec for spec in plan.trials if spec.trial_id in selected and _fits(spec, choice)]
    if not fitting:
        asked = {"method": choice.method, "network": choice.network, "sources": choice.sources}
        told = ", ".join(f"{name} {text}" for name, text in asked.items() if text) or "any cell"
        raise _refused("no finished cell fits", told, _listed([s for s in plan.trials if s.trial_id in selected]))
    if len(fitting) > 1 and not choice.ensemble:
        fix = f"say more (--method, --network, --sources, --trial), or --ensemble; they are {_listed(fitting)}"
        raise _refused("one model is needed", f"{len(fitting)} cells fit", fix)
    return fitting


def _fits(spec: TrialSpec, choice: Choice) -> bool:
    wanted = (choice.method in ("", spec.method), choice.network in ("", spec.network))
    return all(wanted) and (not choice.sources or fnmatchcase("+".join(spec.sources), choice.sources))


def _listed(specs: Sequence[TrialSpec]) -> str:
    names = [f"{spec.name} ({spec.trial_id})" for spec in specs[:8]]
    return (
        "; ".join(names) + (f"; and {len(specs) - 8} more" if len(specs) > 8 else "") if names else "nothing finished"
    )


def _full_id(ledger: Ledger, start: str) -> str:
    known = [spec.trial_id for spec in ledger.known_trials() if spec.trial_id.startswith(start)]
    if len(known) != 1:
        found = f"{len(known)} trials begin with {start!r}"
        raise _refused("one trial is needed", found, "give more of the id; `dgsweep status` lists them")
    return known[0]


def _finished(ledger: Ledger, trial_id: str) -> TrialSpec:
    spec = ledger.spec(trial_id)
    if spec is None or ledger.state(spec) is not TrialState.DONE:
        found = "it is not finished" if spec else "there is no such trial"
        raise _refused("a finished trial is needed", f"trial {trial_id}: {found}", "run the sweep, or choose another")
    return spec


def _of_run(ledger: Ledger, choice: Choice) -> str:
    uri = choice.tracking_uri
    try:
        uri = uri or _tracking(ledger)
        return run_tag(uri, choice.mlflow_run, TRIAL_TAG)
    except (*OUTAGES, PlanError) as error:
        raise _refused("the MLflow run cannot be read", choice.mlflow_run, str(error).splitlines()[0]) from error


def _tracking(ledger: Ledger) -> str:
    tracking: dict[str, Any] = ledger.read_plan().config["tracking"]
    return str(tracking["uri"])


def _refused(message: str, found: str, fix: str) -> InputError:
    return InputError(message, [Problem(where="model", found=found, fix=fix)])
