"""What a worker is given. Light: no torch, so that drivers and Tune's actors need not import it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dgsweep.data.manifest import Case


@dataclass(frozen=True, kw_only=True)
class TrialJob:
    """Everything that a worker process is given; it travels between processes."""

    spec: Mapping[str, Any]
    """spec.json."""
    output: Path
    """Folder of the sweep."""
    cache: Path
    """Folder of the preprocess cache."""
    cases: Mapping[str, Case]
    """case id -> files, for every case of the trial."""
    threads: int
    """Threads of each worker: pinned, since the last digits depend on them."""
    device: str
    """cpu or cuda."""
    prunable: bool = False
    """Whether the driver may stop it half-way, by a note in the ledger."""


@dataclass(frozen=True, kw_only=True)
class WorkerLink:
    """The wire to whoever runs the worker."""

    rank: int
    world_size: int
    report: Callable[[dict[str, float | int | str]], None]
