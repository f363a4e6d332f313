"""What steers a running sweep from outside, and what its driver says of itself: small files in the output folder."""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from dgsweep.records.atomic import RecordError, read_json, read_json_or_empty, write_json
from dgsweep.records.paths import SweepPaths, TrialPaths
from dgsweep.storage.files import remove_file

DRIVER_FRESH_S = 60.0
"""A driver whose last sign of life is older than this does not run any more."""


@dataclass(frozen=True, kw_only=True)
class TrialCost:
    """What a trial cost so far, over all its starts, failed and repeated work included."""

    attempts: int = 0
    wall_s: float = 0.0
    core_s: float = 0.0
    gpu_s: float = 0.0
    steps: int = 0
    """Training steps that were computed, those that a restart repeated too."""

    def __add__(self, other: "TrialCost") -> "TrialCost":
        """Sum of both, field by field."""
        return TrialCost(**{name: value + getattr(other, name) for name, value in asdict(self).items()})


def read_cost(paths: TrialPaths) -> TrialCost:
    """What a trial cost; nothing where it never began or its file cannot be read."""
    found = read_json_or_empty(paths.cost)
    known = {field.name: found[field.name] for field in fields(TrialCost) if field.name in found}
    return TrialCost(**known)


def write_cost(paths: TrialPaths, cost: TrialCost) -> None:
    """Write what a trial cost; may be lost in a power cut, so it is written every few seconds."""
    write_json(paths.cost, asdict(cost), durable=False)


def request_stop(paths: SweepPaths, reason: str) -> None:
    """Ask the driver and every running trial to stop at a checkpoint."""
    write_json(paths.stop, {"reason": reason, "time": time.time()})


def stop_request(paths: SweepPaths) -> str:
    """Why the sweep is asked to stop; '' when it is not."""
    try:
        return str((read_json(paths.stop) or {}).get("reason", ""))
    except RecordError:  # half written by an editor or a foreign tool: somebody wants something, and it is a stop
        return "a request that cannot be read"


def withdraw_stop(paths: SweepPaths) -> None:
    """Forget a request to stop."""
    remove_file(paths.stop)


def write_driver_state(paths: SweepPaths, state: Mapping[str, Any]) -> None:
    """Leave a sign of life of the driver with what it says of itself."""
    write_json(paths.driver_state, {**state, "time": time.time()}, durable=False)


def driver_state(paths: SweepPaths) -> dict[str, Any]:
    """What the driver last said of itself, with `age_s` and whether it `lives`; {} when none ever ran."""
    try:
        found = read_json(paths.driver_state) or {}
        age_s = max(0.0, time.time() - float(found["time"])) if found else 0.0
    except (RecordError, KeyError, TypeError, ValueError):
        return {}
    if not found:
        return {}
    return {**found, "age_s": age_s, "lives": not found.get("ended") and age_s < DRIVER_FRESH_S}
