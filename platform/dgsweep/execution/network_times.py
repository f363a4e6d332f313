"""Inference times of every backbone of a sweep, on its own patch, kept beside its trials for the report."""

import json
from collections.abc import Iterator
from dataclasses import asdict

from dgsweep.errors import InputError, Problem
from dgsweep.networks.base import NetworkTask
from dgsweep.plan.trial import Plan, canonical_json
from dgsweep.records.ledger import Ledger
from dgsweep.storage.files import exists, write_bytes
from dgsweep.storage.place import AnyPath
from dgsweep.training.timing import Timing, time_network


def time_networks_of(output: AnyPath, *, runs: int, device: str = "auto") -> list[Timing]:
    """Time each (backbone, options, patch) of the plan under `output` once and write `networks.json` there.

    Raises:
        InputError: there is no plan, or none of its trials is trained.
    """
    ledger = Ledger(output)
    if not exists(ledger.files.plan):
        problem = Problem(where=str(output), found="no plan.json", fix="name the output folder of a sweep that was run")
        raise InputError("no sweep whose networks could be timed", [problem])
    tasks = list(_tasks(ledger.read_plan()))
    if not tasks:
        problem = Problem(where=str(output), found="no trial with a network of its own", fix="name a sweep that trains")
        raise InputError("no sweep whose networks could be timed", [problem])
    timings = [time_network(name, task, runs=runs, device=device) for name, task in tasks]
    plain = {"networks": [asdict(timing) for timing in timings]}
    write_bytes(ledger.files.network_times, json.dumps(plain, indent=2).encode())
    return timings


def _tasks(plan: Plan) -> Iterator[tuple[str, NetworkTask]]:
    """One task for each network as it was built; where a method feeds more channels it is timed with one."""
    seen: set[str] = set()
    for spec in plan.trials:
        grid = spec.preprocessing
        key = canonical_json([spec.network, dict(spec.network_options), grid.patch, grid.spacing_mm, len(grid.labels)])
        if spec.phase != "train" or key in seen:
            continue
        seen.add(key)
        yield (
            spec.network,
            NetworkTask(
                in_channels=1,
                n_classes=len(grid.labels) + 1,
                patch=grid.patch,
                spacing_mm=grid.spacing_mm,
                deep_supervision=bool(spec.training.get("deep_supervision", True)),
                options=spec.network_options,
            ),
        )
