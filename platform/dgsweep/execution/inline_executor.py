"""Run trials one after the other in this process: small sweeps, tests, and debuggers."""

from collections.abc import Iterator

from dgsweep.errors import TrialFailedError, TrialPrunedError, TrialStoppedError
from dgsweep.execution.events import Listener, Report, Run, Work
from dgsweep.execution.gate import Gate, OpenGate, Verdict
from dgsweep.execution.job import TrialJob, WorkerLink


def run_inline(work: Work, *, run: Run, listener: Listener, gate: Gate | None = None) -> None:
    """Run each job as rank 0 of 1; a trial that fails by itself is told to the listener and the rest goes on.

    Args:
        work: Trials in plan order, and those that are proposed as others end.
        run: Runs one trial.
        listener: Told of every start, report and end.
        gate: Says before each trial whether it may start.
    """
    gate = gate or OpenGate()
    for job in _all(work):
        if gate.verdict(job.spec["trial_id"]) is Verdict.END:
            return
        _run_one(job, run=run, listener=listener)


def _all(work: Work) -> Iterator[TrialJob]:
    yield from work.jobs
    while (job := work.more()) is not None:
        yield job


def _run_one(job: TrialJob, *, run: Run, listener: Listener) -> None:
    trial_id = job.spec["trial_id"]

    def report(values: Report) -> None:
        if listener.reported(trial_id, values):
            raise TrialPrunedError

    listener.started(trial_id)
    try:
        run(job, WorkerLink(rank=0, world_size=1, report=report))
    except TrialPrunedError:
        listener.finished(trial_id, "")
    except TrialFailedError as failure:
        listener.finished(trial_id, failure.cause)
    except TrialStoppedError:
        listener.finished(trial_id, "")
    else:
        listener.finished(trial_id, "")
