"""Where the trials of a sweep run: on Ray, or one after the other in this process."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dgsweep.config.schema import SweepConfig
from dgsweep.errors import Problem, ResourceError
from dgsweep.execution.caps import Holding
from dgsweep.execution.guard import forget_hangs
from dgsweep.execution.inline_executor import run_inline
from dgsweep.execution.job import TrialJob
from dgsweep.execution.preparation import build_jobs, cache_folder, require_room
from dgsweep.execution.resources import TrialResources, resolve_resources, this_node
from dgsweep.execution.running import RunningSweep
from dgsweep.execution.tracker import SweepTracker
from dgsweep.plan.trial import TrialSpec
from dgsweep.records.ledger import Ledger
from dgsweep.storage.scratch import scratch_folder

Executor = Literal["ray", "inline"]


@dataclass(frozen=True, kw_only=True)
class Door:
    """Which Ray a sweep runs on."""

    address: str | None
    allow_open: bool


@contextmanager
def placed(
    sweep: RunningSweep, pending: Sequence[TrialSpec], *, executor: Executor, door: Door
) -> Iterator[Callable[[SweepTracker], None]]:
    """Give a function that runs the pending trials, once it is sure that machines and disk can hold them."""
    if not pending and not sweep.to_propose:
        yield lambda tracker: None
    elif executor == "inline":
        resources = _inline_resources(sweep.config)
        jobs = _ready(sweep, pending, resources)

        def execute_here(tracker: SweepTracker) -> None:
            for work in sweep.waves(jobs, resources, tracker):
                run_inline(work, run=sweep.run, listener=tracker, gate=sweep.watch)

        yield execute_here
    else:
        with _placed_on_ray(sweep, pending, door) as execute:
            yield execute


@contextmanager
def _placed_on_ray(
    sweep: RunningSweep, pending: Sequence[TrialSpec], door: Door
) -> Iterator[Callable[[SweepTracker], None]]:
    """Ray is imported here, so that a run with nothing to place, or inline, ends without it."""
    from dgsweep.execution.cluster import ray_session
    from dgsweep.execution.head_watch import head_watched
    from dgsweep.execution.orphans import orphans_removed
    from dgsweep.execution.ray_executor import run_on_ray
    from dgsweep.execution.ray_trial import RaySchedule

    session = ray_session(door.address, verbose=sweep.verbose, allow_open=door.allow_open)
    with session as nodes, head_watched(sweep.resume_command), orphans_removed():
        resources = resolve_resources(sweep.config.resources, nodes)
        jobs = _ready(sweep, pending, resources)
        schedule = RaySchedule(
            sweep=sweep.ledger.sweep_id(),
            storage=_ray_storage(sweep.ledger),
            resources=resources,
            max_failures=sweep.config.resources.max_failures,
        )

        def execute(tracker: SweepTracker) -> None:
            for work in sweep.waves(jobs, resources, tracker):
                run_on_ray(work, schedule, run=sweep.run, listener=tracker, gate=sweep.watch)

        yield execute


def _ray_storage(ledger: Ledger) -> Path:
    """Ray's own state, of which nothing is needed again; no results go through it."""
    output = ledger.output
    return output / ".ray" if isinstance(output, Path) else scratch_folder() / "ray" / ledger.sweep_id()


def _inline_resources(config: SweepConfig) -> TrialResources:
    wanted = config.resources.workers_per_trial
    if wanted > 1:
        problem = Problem(
            where="resources.workers_per_trial",
            found=f"{wanted}",
            fix="1, or leave out `--executor inline` to run on Ray",
        )
        raise ResourceError("the inline executor has one worker:", [problem])
    return resolve_resources(config.resources, [this_node()])


def _ready(sweep: RunningSweep, pending: Sequence[TrialSpec], resources: TrialResources) -> list[TrialJob]:
    """Check the disk, forget failures of earlier runs, and make the jobs."""
    jobs = build_jobs(pending, sweep.manifest, sweep.config, resources)
    require_room(pending, sweep.manifest, cache_folder(sweep.config))
    workers = resources.workers
    sweep.watch.place(Holding(cores=workers * resources.cpus_per_worker, gpus=workers * resources.gpus_per_worker))
    for spec in pending:
        sweep.ledger.clear_failure(spec.trial_id)
        forget_hangs(sweep.ledger.paths(spec.trial_id))
    return jobs
