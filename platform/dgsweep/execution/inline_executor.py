"""Run trials one after the other in this process: small sweeps, tests, and debuggers."""

from collections.abc import Sequence

from dgsweep.errors import TrialFailedError, TrialStoppedError
from dgsweep.execution.events import Listener, Report, Run
from dgsweep.execution.gate import Gate, OpenGate, Verdict
from dgsweep.execution.job import TrialJob, WorkerLink


def run_inline(jobs: Sequence[TrialJob], *, run: Run, listener: Listener, gate: Gate | None = None) -> None:
    """Run each job as rank 0 of 1; a trial that fails by itself is told to the listener and the rest goes on.

    Args:
        jobs: Trials in plan order.
        run: Runs one trial.
        listener: Told of every start, report and end.
        gate: Says before each trial whether it may start.
    """
    gate = gate or OpenGate()
    for job in jobs:
        if gate.verdict(job.spec["trial_id"]) is Verdict.END:
            return
        _run_one(job, run=run, listener=listener)


def _run_one(job: TrialJob, *, run: Run, listener: Listener) -> None:
    trial_id = job.spec["trial_id"]

    def report(values: Report) -> None:
        listener.reported(trial_id, values)

    listener.started(trial_id)
    try:
        run(job, WorkerLink(rank=0, world_size=1, report=report))
    except TrialFailedError as failure:
        listener.finished(trial_id, failure.cause)
    except TrialStoppedError:
        listener.finished(trial_id, "")
    else:
        listener.finished(trial_id, "")
