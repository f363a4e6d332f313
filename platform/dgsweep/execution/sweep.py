"""Run a sweep: whatever the ledger does not hold yet, on Ray or inline. Running again resumes and extends."""

import shlex
import sys
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from dgsweep.analysis.selection import select
from dgsweep.config.schema import SweepConfig
from dgsweep.config.secrets import without_password
from dgsweep.data.manifest import Manifest
from dgsweep.execution.events import Run, real_trial
from dgsweep.execution.interrupts import Notice, stops_cleanly
from dgsweep.execution.outcome import SweepOutcome
from dgsweep.execution.output_folder import nothing_half_written
from dgsweep.execution.placement import Door, Executor, placed
from dgsweep.execution.preparation import write_case_list
from dgsweep.execution.progress import SweepProgress
from dgsweep.execution.proposals import proposer_of, with_known
from dgsweep.execution.running import RunningSweep
from dgsweep.execution.search import Search
from dgsweep.execution.tracker import SweepTracker
from dgsweep.execution.watch import Ending, SweepWatch
from dgsweep.plan.trial import Plan, TrialSpec
from dgsweep.records.atomic import file_sha256
from dgsweep.records.ledger import Ledger
from dgsweep.records.mlflow_view import MlflowView
from dgsweep.storage.place import place


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
    again, notice = resume_command or _own_command(), Notice(config.resources.stop_grace_s)
    with stops_cleanly(again, notice), nothing_half_written(ledger), ledger.lock():
        proposer = proposer_of(config, plan)
        known = with_known(plan, proposer, ledger)  # another driver may have proposed trials since it was made
        sweep = RunningSweep(
            config=config, manifest=manifest, ledger=ledger, search=Search(config, known, ledger, proposer),
            watch=SweepWatch(config, ledger, known.all_trials), console=console, run=run, verbose=verbose,
            only=only, resume_command=again, started_s=started_s,
        )  # fmt: skip
        return _run(sweep, notice, executor=executor, door=Door(address=address, allow_open=allow_open))


def _run(sweep: RunningSweep, notice: Notice, *, executor: Executor, door: Door) -> SweepOutcome:
    ledger, tracking = sweep.ledger, sweep.config.tracking
    ledger.write_plan(sweep.plan)
    write_case_list(sweep.manifest, ledger.output)
    pending = sweep.pending()
    _require_fitting_starts(pending)
    view = MlflowView(tracking.uri, tracking.experiment or sweep.config.name, ledger.output)
    reused = len(sweep.asked) - sum(1 for spec in pending if spec.phase != "pretrain")
    if not pending and not sweep.to_propose and view.is_complete(_state(ledger)):
        return SweepOutcome(done=0, reused=reused, failed=(), wall_s=time.monotonic() - sweep.started_s)
    total = len(pending) + reused + sweep.to_propose
    progress = SweepProgress(sweep.console, total=total, reused=reused, heartbeat=ledger.progress)
    tracker = SweepTracker(pending, ledger=ledger, search=sweep.search, view=view, progress=progress, watch=sweep.watch)
    with (
        placed(sweep, pending, executor=executor, door=door) as execute,
        _recorded(sweep, view),
        progress.shown(),
        sweep.watch.looking(),
    ):
        notice.ask = sweep.watch.announce_end
        execute(tracker)
    _say_exhausted(sweep)
    return SweepOutcome(
        done=tracker.done,
        reused=reused,
        failed=tracker.failed,
        pruned=tracker.pruned,
        wall_s=time.monotonic() - sweep.started_s,
        left=tracker.left + sweep.to_propose,
        stopped=_told(sweep.watch.ending),
    )


def _told(ending: Ending | None) -> str:
    if ending is None:
        return ""
    return f"{ending.text}; to go on, {ending.go_on} and run it again" if ending.go_on else ending.text


def _say_exhausted(sweep: RunningSweep) -> None:
    for first in sweep.search.exhausted:
        text = f"{first.name.rpartition(' trial ')[0]}: its search space holds no further trial that the sweep allows"
        sweep.console.print(text, markup=False, highlight=False, soft_wrap=True)


def _require_fitting_starts(pending: Sequence[TrialSpec]) -> None:
    """Only here does the driver load torch: where weights of earlier trials are to be tried on networks."""
    if any(spec.given for spec in pending):
        from dgsweep.execution.starts import require_fitting_starts

        require_fitting_starts(pending)


@contextmanager
def _recorded(sweep: RunningSweep, view: MlflowView) -> Iterator[None]:
    """Keep the sweep's parent run in MLflow: open before the first trial, brought to the ledger's state at the end."""
    view.start(sweep.plan)
    status, synced = "KILLED", False
    try:
        yield
        if sweep.plan.searches:  # plan.json has grown since
            view.start(sweep.plan)
        synced = view.sync(sweep.plan, sweep.ledger, _selected(sweep))
        status = "FAILED" if sweep.to_propose or sweep.pending() else "FINISHED"
    finally:
        if view.finish(status) and synced and status == "FINISHED":
            view.complete(_state(sweep.ledger))


def _state(ledger: Ledger) -> str:
    """What MLflow shows of a ledger whose trials are all done changes only with its plan."""
    return file_sha256(ledger.files.plan)


def _selected(sweep: RunningSweep) -> Mapping[str, Mapping[str, str]]:
    """For each selection rule of the sweep file: cell id -> chosen trial id."""
    cases, curves = sweep.ledger.cases_frame(sweep.plan), sweep.ledger.curves_frame(sweep.plan)
    return {rule: select(rule, sweep.plan, cases, curves) for rule in sweep.config.selection}


def _own_command() -> str:
    return without_password(shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]))
