"""plan.json: reviewable, diffable, written atomically."""

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dgsweep.errors import PlanError, Problem
from dgsweep.plan.trial import Plan, Refusal, TrialSpec

FORMAT = 1


def plan_to_json(plan: Plan) -> dict[str, Any]:
    """The plan in plain JSON types; `plan_from_json` reads them back."""
    return {
        "format": FORMAT,
        "plan_id": plan.plan_id,
        "version": plan.version,
        "sweep": plan.sweep,
        "config": dict(plan.config),
        "notes": list(plan.notes),
        "refusals": [asdict(refusal) for refusal in plan.refusals],
        "splits": {fold: dict(roles) for fold, roles in plan.splits.items()},
        "trials": [trial.to_json() for trial in plan.trials],
    }


def plan_from_json(plain: Mapping[str, Any]) -> Plan:
    """Inverse of `plan_to_json`; raises KeyError, TypeError, ValueError or AttributeError for another content."""
    if plain["format"] != FORMAT:
        raise ValueError(f"format {plain['format']!r}, expected {FORMAT}")
    return Plan(
        sweep=plain["sweep"],
        config=plain["config"],
        trials=tuple(TrialSpec.from_json(trial) for trial in plain["trials"]),
        refusals=tuple(Refusal(**{**row, "sources": tuple(row["sources"])}) for row in plain["refusals"]),
        notes=tuple(plain["notes"]),
        version=plain["version"],
        splits=plain["splits"],
    )


def write_plan(plan: Plan, path: Path) -> None:
    """Write plan.json: whole or not at all, whatever happens meanwhile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(plan_to_json(plan), indent=1, ensure_ascii=False, allow_nan=False)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def read_plan(path: Path) -> Plan:
    """Read plan.json.

    Raises:
        PlanError: when it is missing, damaged or of another format.
    """
    try:
        return plan_from_json(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        problem = Problem(where=str(path), found=f"cannot be read: {error.strerror}", fix="run `dgsweep run` first")
        raise PlanError("there is no plan", [problem]) from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        problem = Problem(
            where=str(path), found=f"is no plan of this version: {error!r:.120}", fix="plan the sweep again"
        )
        raise PlanError("the plan cannot be used", [problem]) from error
