"""Run a sweep: whatever the ledger does not hold yet, on Ray or inline. Running again resumes and extends."""

import os
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console

from dgsweep.analysis.selection import select
from dgsweep.config.schema import SweepConfig
from dgsweep.data.manifest import Manifest
from dgsweep.errors import InputError, Problem, ResourceError
from dgsweep.execution.events import Listener, Run, real_trial
from dgsweep.execution.inline_executor import run_inline
from dgsweep.execution.interrupts import stops_cleanly
from dgsweep.execution.job import TrialJob
from dgsweep.execution.outcome import SweepOutcome
from dgsweep.execution.preparation import build_jobs, cache_folder, require_room, write_case_list
from dgsweep.execution.progress import SweepProgress
from dgsweep.execution.resources import TrialResources, resolve_resources, this_node
from dgsweep.execution.tracker import SweepTracker
from dgsweep.plan.trial import Plan, TrialSpec
from dgsweep.records.ledger import Ledger
from dgsweep.records.mlflow_view import MlflowView
from dgsweep.records.state import TrialState

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

    def pending(self) -> list[TrialSpec]:
        """Trials that are not done, in plan order; a stale one is only scored again, which its worker decides.

        What none of them starts from need not be pretrained.
        """
        trials = [spec for spec in self.plan.trials if self.ledger.state(spec) is not TrialState.DONE]
        needed = {start for spec in trials for start in spec.depends_on}
        return [*(spec for spec in self.plan.pretraining if self._is_wanted(spec, needed)), *trials]

    def _is_wanted(self, spec: TrialSpec, needed: set[str]) -> bool:
        return spec.trial_id in needed and self.ledger.state(spec) is not TrialState.DONE


def run_sweep(  # noqa: PLR0913 - three things and keyword-only switches
    config: SweepConfig,
    plan: Plan,
    manifest: Manifest,
    *,
    executor: Executor = "ray",
    address: str | None = None,
    console: Console,
    run: Run = real_trial,
    verbose: bool = False,
    resume_command: str | None = None,
) -> SweepOutcome:
    """Run every trial of the plan that the ledger does not hold as done; a trial that fails does not stop the others.

    Args:
        config: The sweep, with absolute `output`, tracking address and cache.
        plan: Its trials.
        manifest: The scans that the plan was made from.
        executor: `ray`, or `inline`: one trial after the other in this process.
        address: Of a running Ray cluster, `auto` or `host:port`; None starts Ray here (a Ray job joins its own).
        console: Where progress is shown.
        run: Runs one trial on every rank; it must survive pickling.
        verbose: Show what Ray logs and workers print.
        resume_command: What the person should type after a stop; None takes this process's own command line.

    Raises:
        InputError: Another driver holds the output, or a node of the cluster runs another dgsweep.
        ResourceError: No machine has what a trial asks for, the cluster cannot be reached, or the disk is too small.
        SweepInterruptedError: The sweep was stopped by a signal.
    """
    started_s = time.monotonic()
    ledger = Ledger(Path(config.output).absolute())
    sweep = _Sweep(
        config=config, plan=plan, manifest=manifest, ledger=ledger, console=console, run=run, verbose=verbose
    )
    with stops_cleanly(resume_command or _own_command()), _nothing_half_written(ledger), ledger.lock():
        ledger.write_plan(plan)
        write_case_list(manifest, ledger.output)
        pending = sweep.pending()
        _require_fitting_starts(pending)
        view = MlflowView(config.tracking.uri, config.tracking.experiment or config.name, ledger.output)
        reused = len(plan.trials) - sum(1 for spec in pending if spec.phase != "pretrain")
        progress = SweepProgress(console, total=len(pending) + reused, reused=reused, heartbeat=ledger.progress)
        tracker = SweepTracker(pending, ledger=ledger, view=view, progress=progress)
        with (
            _placed(sweep, pending, executor=executor, address=address) as execute,
            _recorded(sweep, view),
            progress.shown(),
        ):
            execute(tracker)
    return SweepOutcome(
        done=tracker.done,
        reused=reused,
        failed=tracker.failed,
        wall_s=time.monotonic() - started_s,
    )


def _require_fitting_starts(pending: Sequence[TrialSpec]) -> None:
    """Only here does the driver load torch: where weights of earlier trials are to be tried on networks."""
    if any(spec.given for spec in pending):
        from dgsweep.execution.starts import require_fitting_starts

        require_fitting_starts(pending)


@contextmanager
def _nothing_half_written(ledger: Ledger) -> Iterator[None]:
    """Remove an output folder that this run made, when the input turns out to be wrong before any trial began."""
    fresh = _made(ledger.output)
    try:
        yield
    except InputError:
        if fresh and not ledger.files.trials.exists():
            shutil.rmtree(ledger.output, ignore_errors=True)
        raise


def _made(folder: Path) -> bool:
    """Make the folder; False when it was there, perhaps made by another driver a moment ago.

    Raises:
        InputError: It cannot be made, or nothing can be written into it.
    """
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        if folder.is_dir() and os.access(folder, os.W_OK):
            return False
        found = "may not be written" if folder.is_dir() else "is a file"
    except OSError as error:
        found = f"cannot be made ({error.strerror})"
    else:
        return True
    raise InputError(
        "the output cannot be used", [Problem(where="output", found=f"{folder} {found}", fix="name another folder")]
    )


@contextmanager
def _placed(
    sweep: _Sweep, pending: Sequence[TrialSpec], *, executor: Executor, address: str | None
) -> Iterator[Callable[[Listener], None]]:
    """Give a function that runs the pending trials, once it is sure that machines and disk can hold them."""
    if not pending:
        yield lambda listener: None
    elif executor == "inline":
        resources = _inline_resources(sweep.config)
        jobs = _ready(sweep, pending, resources)
        yield lambda listener: run_inline(jobs, run=sweep.run, listener=listener)
    else:
        with _placed_on_ray(sweep, pending, address) as execute:
            yield execute


@contextmanager
def _placed_on_ray(
    sweep: _Sweep, pending: Sequence[TrialSpec], address: str | None
) -> Iterator[Callable[[Listener], None]]:
    """Ray is imported here, so that a run with nothing to place, or inline, ends without it."""
    from dgsweep.execution.cluster import ray_session
    from dgsweep.execution.ray_executor import run_on_ray
    from dgsweep.execution.ray_trial import RaySchedule

    with ray_session(address, verbose=sweep.verbose) as nodes:
        resources = resolve_resources(sweep.config.resources, nodes)
        jobs = _ready(sweep, pending, resources)
        schedule = RaySchedule(
            sweep=sweep.ledger.sweep_id(),
            storage=sweep.ledger.output / ".ray",
            resources=resources,
            max_failures=sweep.config.resources.max_failures,
        )

        def execute(listener: Listener) -> None:
            for wave in _waves(jobs):
                run_on_ray(wave, schedule, run=sweep.run, listener=listener)

        yield execute


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
    for spec in pending:
        sweep.ledger.clear_failure(spec.trial_id)
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
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
