"""A sign of life every few seconds from a thread, so that a long step is not taken for a dead worker."""

import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Self

from dgsweep.execution.attempt import Attempt
from dgsweep.records.ledger import Ledger

INTERVAL_S = 5.0


class Pulse:
    """Writes the trial's heartbeat while the block runs.

    Args:
        ledger: where to.
        trial_id: whose.
        beats: False makes it silent (workers other than the first).
        attempt: whether this worker is still the one that runs the trial.
    """

    def __init__(self, ledger: Ledger, trial_id: str, *, beats: bool, attempt: Attempt) -> None:
        self._ledger, self._trial_id, self._beats = ledger, trial_id, beats
        self._attempt, self._taken_over = attempt, False
        self._progress: dict[str, Any] = {"phase": "start"}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="pulse", daemon=True)

    def __enter__(self) -> Self:
        if self._beats:
            self._thread.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._over.set()
        if self._beats:
            self._thread.join()
        if kind is not None:
            self._attempt.require_current()

    def update(self, progress: Mapping[str, Any]) -> None:
        """Replace what the next heartbeat says."""
        self._progress = dict(progress)

    def step(self, step: int) -> None:
        """Note a finished step; TrialFailedError when another worker took the trial over."""
        if self._taken_over:
            self._attempt.require_current()
        self._progress = {**self._progress, "phase": "train", "step": step}

    def _beat(self) -> None:
        while not self._over.wait(INTERVAL_S):
            if self._attempt.is_over():
                self._taken_over = True
                return
            with suppress(OSError):  # a full disk: the next one may find room
                self._ledger.heartbeat(self._trial_id, self._progress)
