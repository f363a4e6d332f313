"""plan.json: reviewable, diffable, written atomically."""

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from dgsweep.errors import PlanError, Problem
from dgsweep.plan.search import CellSearch
from dgsweep.plan.trial import Plan, Refusal, Split, TrialSpec, content_id
from dgsweep.storage.files import read_bytes, write_bytes
from dgsweep.storage.place import AnyPath

FORMAT = 1


_SHARED = ("split", "domains", "score_shas")
"""Fields that all trials on the same cases share: they stand once in the file, under `cases`."""


def plan_to_json(plan: Plan) -> dict[str, Any]:
    """The plan in plain JSON types; `plan_from_json` reads them back."""
    shared: dict[str, dict[str, Any]] = {}
    known: dict[int, str] = {}
    trials = [_trial_to_json(trial, shared, known) for trial in plan.trials]
    first = [_trial_to_json(trial, shared, known) for trial in plan.pretraining]
    return {
        "format": FORMAT,
        "plan_id": plan.plan_id,
        "version": plan.version,
        "sweep": plan.sweep,
        "config": dict(plan.config),
        "notes": list(plan.notes),
        "refusals": [asdict(refusal) for refusal in plan.refusals],
        "splits": {fold: dict(roles) for fold, roles in plan.splits.items()},
        "cases": shared,
        "pretraining": first,
        **({"searches": [asdict(search) for search in plan.searches]} if plan.searches else {}),
        "trials": trials,
    }


def _trial_to_json(trial: TrialSpec, shared: dict[str, dict[str, Any]], known: dict[int, str]) -> dict[str, Any]:
    """One trial, with its cases as a key of `shared`; `known` remembers the key of each score table by identity."""
    if id(trial.score_shas) not in known:
        cases = {"split": trial.split.to_json(), "domains": dict(trial.domains), "score_shas": dict(trial.score_shas)}
        known[id(trial.score_shas)] = content_id(cases)
        shared.setdefault(known[id(trial.score_shas)], cases)
    empty = Split(train=(), val=(), test=(), target=())
    light = replace(trial, split=empty, domains={}, score_shas={}).to_json()
    own = {name: value for name, value in light.items() if name not in _SHARED}
    return {**own, "cases": known[id(trial.score_shas)]}


def plan_from_json(plain: Mapping[str, Any]) -> Plan:
    """Inverse of `plan_to_json`; raises KeyError, TypeError, ValueError or AttributeError for another content."""
    if plain["format"] != FORMAT:
        raise ValueError(f"format {plain['format']!r}, expected {FORMAT}")
    return Plan(
        sweep=plain["sweep"],
        config=plain["config"],
        trials=tuple(_trial_from_json(trial, plain["cases"]) for trial in plain["trials"]),
        pretraining=tuple(_trial_from_json(trial, plain["cases"]) for trial in plain.get("pretraining", ())),
        refusals=tuple(Refusal(**{**row, "sources": tuple(row["sources"])}) for row in plain["refusals"]),
        notes=tuple(plain["notes"]),
        version=plain["version"],
        splits=plain["splits"],
        searches=tuple(CellSearch(**search) for search in plain.get("searches", ())),
    )


def _trial_from_json(trial: Mapping[str, Any], shared: Mapping[str, Mapping[str, Any]]) -> TrialSpec:
    own = {name: value for name, value in trial.items() if name != "cases"}
    return TrialSpec.from_json({**own, **shared[trial["cases"]]})


def _lines(plain: Mapping[str, Any]) -> str:
    """JSON with one line for each trial, table of cases and short entry, so that two plans can be compared."""
    entries = [f"{_line(key)}: {_block(value)}" for key, value in plain.items()]
    return "{\n" + ",\n".join(entries) + "\n}\n"


def _block(value: Any) -> str:
    if isinstance(value, dict) and value:
        return "{\n" + ",\n".join(f" {_line(key)}: {_line(inner)}" for key, inner in value.items()) + "\n}"
    if isinstance(value, list) and value:
        return "[\n" + ",\n".join(f" {_line(inner)}" for inner in value) + "\n]"
    return _line(value)


def _line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def write_plan(plan: Plan, path: AnyPath) -> None:
    """Write plan.json: whole or not at all, whatever happens meanwhile."""
    write_bytes(path, _lines(plan_to_json(plan)).encode())


def read_plan(path: AnyPath) -> Plan:
    """Read plan.json.

    Raises:
        PlanError: when it is missing, damaged or of another format.
    """
    try:
        return plan_from_json(json.loads(read_bytes(path)))
    except OSError as error:
        problem = Problem(
            where=str(path), found=f"cannot be read: {error.strerror or error}", fix="run `dgsweep run` first"
        )
        raise PlanError("there is no plan", [problem]) from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        problem = Problem(
            where=str(path), found=f"is no plan of this version: {error!r:.120}", fix="plan the sweep again"
        )
        raise PlanError("the plan cannot be used", [problem]) from error
