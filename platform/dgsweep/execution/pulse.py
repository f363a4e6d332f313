"""A thread beside the training: a sign of life every few seconds, and a look whether the driver stopped the trial."""

import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Self

from dgsweep.errors import TrialPrunedError, TrialStoppedError
from dgsweep.execution.attempt import Attempt
from dgsweep.execution.caps import Holding
from dgsweep.records.ledger import Ledger
from dgsweep.records.state import STOPPED
from dgsweep.records.steering import TrialCost, read_cost, stop_request, write_cost
from dgsweep.storage.files import UNANSWERED

INTERVAL_S = 5.0
WATCH_S = 1.0
ASKED = "the sweep was asked to stop"


class Pulse:
    """Writes the trial's heartbeat and what it costs, and looks whether the sweep is to stop, while the block runs.

    Args:
        ledger: where to.
        trial_id: whose.
        beats: False makes it silent and blind (workers other than the first).
        attempt: whether this worker is still the one that runs the trial.
        holding: what the trial holds, for its cost.
        watches: Look every second whether the trial was pruned.
    """

    def __init__(
        self,
        ledger: Ledger,
        trial_id: str,
        *,
        beats: bool,
        attempt: Attempt,
        holding: Holding,
        watches: bool = False,
    ) -> None:
        self._ledger, self._trial_id, self._holding = ledger, trial_id, holding
        self._beats, self._watches = beats, watches
        self._attempt, self._taken_over = attempt, False
        self._progress: dict[str, Any] = {"phase": "start"}
        self._over, self._asked, self._pruned = threading.Event(), threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._beat, name="pulse", daemon=True)
        self._started_s = time.monotonic()
        self._steps, self._step = 0, -1
        self._before = TrialCost()

    def __enter__(self) -> Self:
        if self._beats:
            self._before = read_cost(self._ledger.paths(self._trial_id))
            self._look()
            self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._over.set()
        if self._beats:
            self._thread.join()
        if kind is not None:
            self._attempt.require_current()
        if not self._beats:
            return
        with suppress(*UNANSWERED):
            self._count()
            if kind is not None and issubclass(kind, TrialStoppedError):
                self._ledger.heartbeat(self._trial_id, {**self._progress, "phase": STOPPED})

    def update(self, progress: Mapping[str, Any]) -> None:
        """Replace what the next heartbeat says."""
        self._progress = dict(progress)
        if progress.get("phase") == "train":
            self._advance(int(progress.get("step", self._step)))

    def step(self, step: int) -> None:
        """Note a finished step.

        Raises:
            TrialPrunedError: The driver has stopped the trial.
            TrialFailedError: Another worker took the trial over.
        """
        self._advance(step)
        if self._taken_over:
            self._attempt.require_current()
        if self._pruned.is_set():
            raise TrialPrunedError
        self._progress = {**self._progress, "phase": "train", "step": step}

    def stopping(self) -> str:
        """Why the trial is to stop at its next checkpoint; '' to go on."""
        return ASKED if self._asked.is_set() else ""

    def _beat(self) -> None:
        looks, apart = 0, round(INTERVAL_S / WATCH_S) if self._watches else 1
        while not self._over.wait(WATCH_S if self._watches else INTERVAL_S):
            looks += 1
            if self._is_pruned() or (looks % apart == 0 and self._is_lost()):
                return
            if looks % apart:
                continue
            with suppress(*UNANSWERED):
                self._look()
                self._ledger.heartbeat(self._trial_id, self._progress)
                self._count()

    def _is_pruned(self) -> bool:
        with suppress(*UNANSWERED):
            if self._watches and self._ledger.is_pruned(self._trial_id):
                self._is_lost()  # who lost the trial must not write its last checkpoint either
                self._pruned.set()
        return self._pruned.is_set()

    def _is_lost(self) -> bool:
        self._taken_over = self._attempt.is_over()
        return self._taken_over

    def _advance(self, step: int) -> None:
        """Count a step once, whether it was told by a report, by its end, or by both."""
        self._steps += step != self._step
        self._step = step

    def _look(self) -> None:
        if stop_request(self._ledger.files):
            self._asked.set()

    def _count(self) -> None:
        wall_s = time.monotonic() - self._started_s
        spent = TrialCost(
            attempts=1,
            wall_s=wall_s,
            core_s=wall_s * self._holding.cores,
            gpu_s=wall_s * self._holding.gpus,
            steps=self._steps,
        )
        write_cost(self._ledger.paths(self._trial_id), self._before + spent)
