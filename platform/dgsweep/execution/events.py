"""What an executor tells the driver, and what a person may put in place of the real trial."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from dgsweep.execution.job import TrialJob, WorkerLink

Report = Mapping[str, float | int | str]
"""`step`, `steps`, `phase` (`train` or `score`) and `metric/<name>` entries of one running trial."""

Run = Callable[[TrialJob, WorkerLink], None]
"""Runs one trial on every rank; `dgsweep.execution.worker.run_trial`, unless a test or a study replaces it."""


def nothing_more() -> TrialJob | None:
    """The source of jobs where every trial is planned."""
    return None


@dataclass(frozen=True, kw_only=True)
class Work:
    """What an executor is to run: jobs in plan order, and then whatever `more` gives until it gives None."""

    jobs: Sequence[TrialJob]
    more: Callable[[], TrialJob | None] = nothing_more
    """Asked when a worker is free, in the driver's main thread."""
    templates: Mapping[str, TrialJob] = field(default_factory=dict)
    """cell id -> a job of the cell, from which those that `more` gives differ in few fields of their specs."""

    def __bool__(self) -> bool:
        return bool(self.jobs) or bool(self.templates)


class Listener(Protocol):
    """Receives the events of trials, in the driver's main thread."""

    def started(self, trial_id: str) -> None:
        """Note that a trial was given to a worker; may come again after its worker died."""

    def reported(self, trial_id: str, report: Report) -> bool:
        """Take one report of a running trial; True when the trial is to be stopped, which is noted by then."""

    def finished(self, trial_id: str, cause: str) -> None:
        """Note the end of a trial; `cause` is '' unless the platform saw it die."""


def real_trial(job: TrialJob, link: WorkerLink) -> None:
    """Run the real trial; its imports (torch, MONAI) happen in the process that trains, not in the driver."""
    from dgsweep.execution.worker import run_trial

    run_trial(job, link)
