"""What a sweep leaves behind for the person who started it."""

from dataclasses import dataclass
from typing import NamedTuple

from dgsweep.errors import DgsweepError


class FailedTrial(NamedTuple):
    """One trial that failed, and why."""

    trial_id: str
    name: str
    cause: str


@dataclass(frozen=True, kw_only=True)
class SweepOutcome:
    """How one run of a sweep ended."""

    done: int
    """Trials finished by this run."""
    reused: int
    """Trials that an earlier run had finished, or pruned; they were not run again."""
    failed: tuple[FailedTrial, ...]
    wall_s: float
    pruned: int = 0
    """Trials that the scheduler stopped in this run."""
    left: int = 0
    """Trials that neither ended nor failed, those to propose among them, because the run ended early."""
    stopped: str = ""
    """Why it ended early, and what to change; '' when it did not."""

    @property
    def exit_code(self) -> int:
        """0 when every trial of the plan is done or pruned, 1 when some failed or are left."""
        return 1 if self.failed or self.stopped else 0


class SweepInterruptedError(DgsweepError):
    """The person (or the job system) stopped the sweep; finished trials are kept."""

    def __init__(self, resume_command: str) -> None:
        self.resume_command = resume_command
        super().__init__(f"stopped; every finished trial is kept. To go on: {resume_command}")

    def __reduce__(self) -> tuple[type["SweepInterruptedError"], tuple[str]]:
        """Survive pickling without repeating the message."""
        return type(self), (self.resume_command,)
