"""Run a sweep: whatever the ledger does not hold yet, on Ray or inline. Running again resumes and extends."""

import shlex
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console

from dgsweep.analysis.selection import select
from dgsweep.config.schema import SweepConfig
from dgsweep.config.secrets import without_password
from dgsweep.data.manifest import Manifest
from dgsweep.errors import Problem, ResourceError
from dgsweep.execution.caps import Holding
from dgsweep.execution.events import Listener, Run, real_trial
from dgsweep.execution.guard import forget_hangs
from dgsweep.execution.inline_executor import run_inline
from dgsweep.execution.interrupts import Notice, stops_cleanly
from dgsweep.execution.job import TrialJob
from dgsweep.execution.outcome import SweepOutcome
from dgsweep.execution.output_folder import nothing_half_written
from dgsweep.execution.preparation import build_jobs, cache_folder, require_room, write_case_list
from dgsweep.execution.progress import SweepProgress
from dgsweep.execution.resources import TrialResources, resolve_resources, this_node
from dgsweep.execution.tracker import SweepTracker
from dgsweep.execution.watch import Ending, SweepWatch
from dgsweep.plan.trial import Plan, TrialSpec
from dgsweep.records.ledger import Ledger
from dgsweep.records.mlflow_view import MlflowView
from dgsweep.records.state import TrialState
from dgsweep.storage.place import place
from dgsweep.storage.scratch import scratch_folder

Executor = Literal["ray", "inline"]


@dataclass(frozen=True, kw_only=True)
class _Sweep:
    """What belongs together while a sweep runs."""

    config: SweepConfig
    plan: Plan
    manifest: Manifest
    ledger: Ledger
    console: Console
    run: Run
    verbose: bool
    watch: SweepWatch
    only: Collection[str] | None
    resume_command: str

    def pending(self) -> list[TrialSpec]:
        """Trials that are not done, in plan order; a stale one is only scored again, which its worker decides.

        What none of them starts from need not be pretrained.
        """
        wanted = [spec for spec in self.plan.trials if self.only is None or spec.trial_id in self.only]
        states = zip(wanted, self.ledger.each(self.ledger.state, wanted), strict=True)
        trials = [spec for spec, state in states if state is not TrialState.DONE]
        needed = {start for spec in trials for start in spec.depends_on}
        return [*(spec for spec in self.plan.pretraining if self._is_wanted(spec, needed)), *trials]

    def _is_wanted(self, spec: TrialSpec, needed: set[str]) -> bool:
        return spec.trial_id in needed and self.ledger.state(spec) is not TrialState.DONE


@dataclass(frozen=True, kw_only=True)
class Door:
    """Which Ray a sweep runs on."""

    address: str | None
    allow_open: bool


def run_sweep(  # noqa: PLR0913 - three things and keyword-only switches
    config: SweepConfig,
    plan: Plan,
    manifest: Manifest,
    *,
    executor: Executor = "ray",
    address: str | None = None,
    allow_open: bool = False,
    console: Console,
    run: Run = real_trial,
    verbose: bool = False,
    resume_command: str | None = None,
    only: Collection[str] | None = None,
) -> SweepOutcome:
    """Run every trial of the plan that the ledger does not hold as done; a trial that fails does not stop the others.

    Args:
        config: The sweep, with absolute `output`, tracking address and cache.
        plan: Its trials.
        manifest: The scans that the plan was made from.
        executor: `ray`, or `inline`: one trial after the other in this process.
        address: Of a running Ray cluster, `auto` or `host:port`; None starts Ray here (a Ray job joins its own).
        allow_open: Use a Ray whose dashboard lets everybody in the network run code.
        console: Where progress is shown.
        run: Runs one trial on every rank; it must survive pickling.
        verbose: Show what Ray logs and workers print.
        resume_command: What the person should type after a stop; None takes this process's own command line.
        only: Ids of the trials to run (what they start from comes with them); None for all.

    Raises:
        InputError: Another driver holds the output, or a node of the cluster runs another dgsweep.
        ResourceError: No machine has what a trial asks for, the cluster cannot be reached, or the disk is too small.
        SweepInterruptedError: The sweep was stopped by a signal.
    """
    started_s = time.monotonic()
    ledger = Ledger(place(config.output).absolute())
    watch = SweepWatch(config, ledger, plan.all_trials)
    again = resume_command or _own_command()
    sweep = _Sweep(
        config=config, plan=plan, manifest=manifest, ledger=ledger, console=console, run=run, verbose=verbose,
        watch=watch, only=only, resume_command=again,
    )  # fmt: skip
    notice = Notice(config.resources.stop_grace_s)
    with stops_cleanly(again, notice), nothing_half_written(ledger), ledger.lock():
        ledger.write_plan(plan)
        write_case_list(manifest, ledger.output)
        pending = sweep.pending()
        _require_fitting_starts(pending)
        view = MlflowView(config.tracking.uri, config.tracking.experiment or config.name, ledger.output)
        asked = len(plan.trials if only is None else [spec for spec in plan.trials if spec.trial_id in only])
        reused = asked - sum(1 for spec in pending if spec.phase != "pretrain")
        progress = SweepProgress(console, total=len(pending) + reused, reused=reused, heartbeat=ledger.progress)
        tracker = SweepTracker(pending, ledger=ledger, view=view, progress=progress, watch=watch)
        with (
            _placed(sweep, pending, executor=executor, door=Door(address=address, allow_open=allow_open)) as execute,
            _recorded(sweep, view),
            progress.shown(),
            watch.looking(),
        ):
            notice.ask = watch.announce_end
            execute(tracker)
    return SweepOutcome(
        done=tracker.done,
        reused=reused,
        failed=tracker.failed,
        wall_s=time.monotonic() - started_s,
        left=len(pending) - tracker.done - len(tracker.failed),
        stopped=_told(watch.ending),
    )


def _told(ending: Ending | None) -> str:
    if ending is None:
        return ""
    return f"{ending.text}; to go on, {ending.go_on} and run it again" if ending.go_on else ending.text


def _require_fitting_starts(pending: Sequence[TrialSpec]) -> None:
    """Only here does the driver load torch: where weights of earlier trials are to be tried on networks."""
    if any(spec.given for spec in pending):
        from dgsweep.execution.starts import require_fitting_starts

        require_fitting_starts(pending)


@contextmanager
def _placed(
    sweep: _Sweep, pending: Sequence[TrialSpec], *, executor: Executor, door: Door
) -> Iterator[Callable[[Listener], None]]:
    """Give a function that runs the pending trials, once it is sure that machines and disk can hold them."""
    if not pending:
        yield lambda listener: None
    elif executor == "inline":
        resources = _inline_resources(sweep.config)
        jobs = _ready(sweep, pending, resources)
        yield lambda listener: run_inline(jobs, run=sweep.run, listener=listener, gate=sweep.watch)
    else:
        with _placed_on_ray(sweep, pending, door) as execute:
            yield execute


@contextmanager
def _placed_on_ray(sweep: _Sweep, pending: Sequence[TrialSpec], door: Door) -> Iterator[Callable[[Listener], None]]:
    """Ray is imported here, so that a run with nothing to place, or inline, ends without it."""
    from dgsweep.execution.cluster import ray_session
    from dgsweep.execution.head_watch import head_watched
    from dgsweep.execution.ray_executor import run_on_ray
    from dgsweep.execution.ray_trial import RaySchedule

    session = ray_session(door.address, verbose=sweep.verbose, allow_open=door.allow_open)
    with session as nodes, head_watched(sweep.resume_command):
        resources = resolve_resources(sweep.config.resources, nodes)
        jobs = _ready(sweep, pending, resources)
        schedule = RaySchedule(
            sweep=sweep.ledger.sweep_id(),
            storage=_ray_storage(sweep.ledger),
            resources=resources,
            max_failures=sweep.config.resources.max_failures,
        )

        def execute(listener: Listener) -> None:
            for wave in _waves(jobs):
                run_on_ray(wave, schedule, run=sweep.run, listener=listener, gate=sweep.watch)

        yield execute


def _ray_storage(ledger: Ledger) -> Path:
    """Ray's own state, of which nothing is needed again; no results go through it."""
    output = ledger.output
    return output / ".ray" if isinstance(output, Path) else scratch_folder() / "ray" / ledger.sweep_id()


def _waves(jobs: Sequence[TrialJob]) -> list[list[TrialJob]]:
    """Pretraining first, then what starts from it, then what takes its prompts from predictions."""
    waves: list[list[TrialJob]] = [[], [], []]
    for job in jobs:
        phase, waits = job.spec["phase"], bool(job.spec["depends_on"])
        waves[0 if phase == "pretrain" else 2 if phase == "zero_shot" and waits else 1].append(job)
    return [wave for wave in waves if wave]


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


def _ready(sweep: _Sweep, pending: Sequence[TrialSpec], resources: TrialResources) -> list[TrialJob]:
    """Check the disk, forget failures of earlier runs, and make the jobs."""
    jobs = build_jobs(pending, sweep.manifest, sweep.config, resources)
    require_room(pending, sweep.manifest, cache_folder(sweep.config))
    workers = resources.workers
    sweep.watch.place(Holding(cores=workers * resources.cpus_per_worker, gpus=workers * resources.gpus_per_worker))
    for spec in pending:
        sweep.ledger.clear_failure(spec.trial_id)
        forget_hangs(sweep.ledger.paths(spec.trial_id))
    return jobs


@contextmanager
def _recorded(sweep: _Sweep, view: MlflowView) -> Iterator[None]:
    """Keep the sweep's parent run in MLflow: open before the first trial, brought to the ledger's state at the end."""
    view.start(sweep.plan)
    status = "KILLED"
    try:
        yield
        view.sync(sweep.plan, sweep.ledger, _selected(sweep))
        status = "FAILED" if sweep.pending() else "FINISHED"
    finally:
        view.finish(status)


def _selected(sweep: _Sweep) -> Mapping[str, Mapping[str, str]]:
    """For each selection rule of the sweep file: cell id -> chosen trial id."""
    cases, curves = sweep.ledger.cases_frame(sweep.plan), sweep.ledger.curves_frame(sweep.plan)
    return {rule: select(rule, sweep.plan, cases, curves) for rule in sweep.config.selection}


def _own_command() -> str:
    return without_password(shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]))
