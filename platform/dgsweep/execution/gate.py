"""Who may start: what an executor asks before each trial, so that caps and requests to stop need no executor."""

from enum import StrEnum
from typing import Protocol


class Verdict(StrEnum):
    """Whether one more trial may start."""

    START = "start"
    END = "end"
    """Neither this one nor any after it, in this run."""


class Gate(Protocol):
    """Asked before each trial, in the driver's main thread."""

    def verdict(self, trial_id: str) -> Verdict:
        """Whether this trial may start now."""

    @property
    def stopping(self) -> bool:
        """Whether running trials were asked to stop at a checkpoint."""


class OpenGate:
    """Everything may start, for as long as it takes."""

    stopping = False

    def verdict(self, trial_id: str) -> Verdict:
        """Start."""
        del trial_id
        return Verdict.START
