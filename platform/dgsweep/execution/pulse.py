"""A thread beside the training: a sign of life every few seconds, and a look whether the driver stopped the trial."""

import threading
from collections.abc import Mapping
from typing import Any, Self

from dgsweep.errors import TrialPrunedError
from dgsweep.records.ledger import Ledger

INTERVAL_S = 5.0
WATCH_S = 1.0


class Pulse:
    """Writes the trial's heartbeat while the block runs.

    Args:
        ledger: where to.
        trial_id: whose.
        beats: False makes it silent and blind (workers other than the first).
        watches: Look every second whether the trial was pruned.
    """

    def __init__(self, ledger: Ledger, trial_id: str, *, beats: bool, watches: bool = False) -> None:
        self._ledger, self._trial_id, self._beats, self._watches = ledger, trial_id, beats, watches
        self._progress: dict[str, Any] = {"phase": "start"}
        self._over, self._pruned = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._beat, name="pulse", daemon=True)

    def __enter__(self) -> Self:
        if self._beats:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._beats:
            self._thread.join()

    def update(self, progress: Mapping[str, Any]) -> None:
        """Replace what the next heartbeat says."""
        self._progress = dict(progress)

    def step(self, step: int) -> None:
        """Note a finished step.

        Raises:
            TrialPrunedError: The driver has stopped the trial.
        """
        if self._pruned.is_set():
            raise TrialPrunedError
        self._progress = {**self._progress, "phase": "train", "step": step}

    def _beat(self) -> None:
        looks = 0
        while not self._over.wait(WATCH_S if self._watches else INTERVAL_S):
            looks += 1
            if self._watches and self._ledger.is_pruned(self._trial_id):
                self._pruned.set()
                return
            if not self._watches or looks % round(INTERVAL_S / WATCH_S) == 0:
                self._ledger.heartbeat(self._trial_id, self._progress)
