"""What a worker is given. Light: no torch, so that drivers and Tune's actors need not import it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dgsweep.config.umask import PRIVATE
from dgsweep.data.manifest import Case
from dgsweep.storage.place import AnyPath


@dataclass(frozen=True, kw_only=True)
class TrialJob:
    """Everything that a worker process is given; it travels between processes."""

    spec: Mapping[str, Any]
    """spec.json."""
    output: AnyPath
    """Folder of the sweep."""
    cache: AnyPath | None
    """Of the preprocess cache; None: a scratch folder of the worker's own machine."""
    cases: Mapping[str, Case]
    """case id -> files, for every case of the trial."""
    threads: int
    """Threads of each worker: pinned, since the last digits depend on them."""
    device: str
    """cpu or cuda."""
    umask: int = PRIVATE
    """Permissions that new files must not have: the driver's, on every node."""
    gpus: float = 0.0
    """Share of an accelerator, or accelerators, that each worker holds."""
    hang_timeout_s: float | None = None
    """A worker that shows no progress for so long ends itself; None: never."""
    prunable: bool = False
    """Whether the driver may stop it half-way, by a note in the ledger."""


@dataclass(frozen=True, kw_only=True)
class WorkerLink:
    """The wire to whoever runs the worker."""

    rank: int
    world_size: int
    report: Callable[[dict[str, float | int | str]], None]
    own_process: bool = False
    """Whether the process runs this trial alone, so that it may end itself when the trial hangs."""
