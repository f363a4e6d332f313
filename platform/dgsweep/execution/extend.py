"""Adds methods, seeds and targets to a sweep file, keeping its comments, and tells what only then would run."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from dgsweep.config.load import load_sweep
from dgsweep.config.schema import SweepConfig
from dgsweep.errors import ConfigError, Problems
from dgsweep.execution.settled import settled
from dgsweep.execution.state_table import TO_PROPOSE
from dgsweep.plan.trial import Plan, TrialSpec
from dgsweep.records.ledger import Ledger
from dgsweep.records.state import TrialState
from dgsweep.storage.files import write_bytes


def extended_text(sweep: Path, *, methods: Sequence[str], seeds: Sequence[int], targets: Sequence[str]) -> str:
    """Text of a sweep file with more methods, seeds or targets; the rest stays as it was written.

    Raises:
        ConfigError: with every addition that is there already or cannot be made.
    """
    config = load_sweep(sweep)
    _require_new(config, methods, seeds, targets)
    round_trip = YAML()
    round_trip.preserve_quotes = True
    round_trip.width = 1000
    document = round_trip.load(sweep.read_text(encoding="utf-8"))
    document["methods"].extend(methods)
    if seeds:
        document.setdefault("seeds", list(config.seeds)).extend(seeds)
    for split in document["protocol"]["splits"] if targets else ():
        split.setdefault("targets", []).extend(one for one in targets if one not in split["targets"])
    text = io.StringIO()
    round_trip.dump(document, text)
    return text.getvalue()


def save(sweep: Path, text: str) -> None:
    """Replace the sweep file, at once."""
    write_bytes(sweep, text.encode())


def delta(ledger: Ledger, plan: Plan) -> list[dict[str, Any]]:
    """What a plan adds to an output, one row a trial: trained and scored, or only scored on what is new.

    Trials that are proposed while the sweep runs have one row a cell.
    """
    statuses = zip(plan.all_trials, ledger.each(ledger.status, plan.all_trials), strict=True)
    found = [
        _row(spec, status.state, len(status.unscored)) for spec, status in statuses if status.state not in settled(plan)
    ]
    left = plan.to_propose
    firsts = [spec for spec in plan.trials if spec.trial == 0 and left.get(spec.cell_id)]
    return [*found, *(_row_of_proposals(first, left[first.cell_id]) for first in firsts)]


def _row_of_proposals(first: TrialSpec, count: int) -> dict[str, Any]:
    """`first` is trial 0 of the cell, which costs what each of the others does at most."""
    return {
        "name": f"{first.name.rpartition(' trial ')[0]} | {first.network}",
        "work": f"propose {count}, train and score",
        "state": TO_PROPOSE,
        "steps": count * first.budget_steps,
        "cases_to_score": count * len(first.score_shas),
        "trial_id": "",
    }


def _row(spec: TrialSpec, state: TrialState, unscored: int) -> dict[str, Any]:
    work = "score only" if state is TrialState.STALE else "train and score"
    return {
        "name": spec.full_name,
        "work": "pretrain" if spec.phase == "pretrain" else work,
        "state": state.value,
        "steps": 0 if state is TrialState.STALE else spec.budget_steps,
        "cases_to_score": unscored,
        "trial_id": spec.trial_id,
    }


def _require_new(config: SweepConfig, methods: Sequence[str], seeds: Sequence[int], targets: Sequence[str]) -> None:
    problems = Problems()
    if not (methods or seeds or targets):
        problems.add("extend", "nothing to add", "--method NAME, --seed N or --target PATTERN")
    plain = [method.name for method in config.methods if method == type(method)(name=method.name)]
    for name in dict.fromkeys(methods):
        if name in plain or list(methods).count(name) > 1:
            problems.add(f"--method {name}", "stands in the sweep file already")
    for seed in dict.fromkeys(seeds):
        if seed in config.seeds or list(seeds).count(seed) > 1:
            problems.add(f"--seed {seed}", "stands in the sweep file already")
    if targets and config.protocol.kind != "explicit":
        problems.add(
            "--target",
            f"the targets of {config.protocol.kind} follow from the manifest",
            "add the scans there and run the sweep again: only they are scored",
        )
    elif targets and all(set(targets) <= set(split.targets) for split in config.protocol.splits):
        problems.add("--target", "stands in the sweep file already")
    problems.raise_if_any(ConfigError, "the sweep cannot be extended so")
