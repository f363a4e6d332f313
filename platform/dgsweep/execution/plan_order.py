"""Tune's searcher of a sweep: the next trial, planned or proposed, whenever gate and cluster have room for it."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ray.tune.search import Searcher

from dgsweep.execution.gate import Gate, Verdict

LOOK_EVERY_S = 1.0


class Room:
    """How many trials the cluster has room for, looked up at most every second.

    Args:
        capacity: How many trials fit on the living nodes when nothing else runs there.
        free: How many more fit beside everything that runs there now, trials of other sweeps too.
    """

    def __init__(self, capacity: Callable[[], int], free: Callable[[], int]) -> None:
        self._capacity, self._free = capacity, free
        self._looked_s = float("-inf")
        self._found = (1, 1)

    def now(self) -> tuple[int, int]:
        """Capacity (at least 1) and free places."""
        if time.monotonic() - self._looked_s >= LOOK_EVERY_S:
            self._found = (max(1, self._capacity()), self._free())
            self._looked_s = time.monotonic()
        return self._found


class PlanOrder(Searcher):
    """Suggests trials in plan order, and then those that are proposed as others end.

    No more than the living nodes can hold; and of trials that still wait for their workers, only one more than there
    are free places, so that several sweeps on one cluster take turns and none queues up all it has.

    Args:
        trial_ids: Of the planned trials.
        gate: Says before each trial whether it may start.
        room: How many trials may run.
        more: Asked when every planned trial has started and there is room: Tune's configuration of one more trial,
            its `trial_id` in it; None when none will come any more.
    """

    def __init__(
        self, trial_ids: Sequence[str], gate: Gate, room: Room, more: Callable[[], Mapping[str, Any] | None]
    ) -> None:
        super().__init__()
        self._left = list(reversed(trial_ids))
        self._gate, self._room, self._more = gate, room, more
        self._over = False
        self._live: dict[str, str] = {}
        self._waiting: set[str] = set()

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles its searcher for a restore that is never used; gate and search cannot be pickled."""
        return {}

    @property
    def idle(self) -> bool:
        """Whether no trial has its workers."""
        return not set(self._live.values()) - self._waiting

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next trial; None when there is no room yet, FINISHED when none may start any more."""
        if self._over:
            return str(Searcher.FINISHED)
        capacity, free = self._room.now()
        if len(self._live) >= capacity or len(self._waiting) > max(0, free):
            return None
        config = {"trial_id": self._left.pop()} if self._left else self._more()
        if config is None or self._gate.verdict(config["trial_id"]) is Verdict.END:
            self._over = True
            return str(Searcher.FINISHED)
        self._live[trial_id] = config["trial_id"]
        self._waiting.add(config["trial_id"])
        return dict(config)

    def placed(self, chosen: str) -> None:
        """Note that a trial has its workers."""
        self._waiting.discard(chosen)

    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
        """Note that a trial ended, in whatever way; its number in Tune is given."""
        self._waiting.discard(self._live.pop(trial_id, ""))

    def save(self, checkpoint_path: str) -> None:
        """Save nothing: the ledger is what a restart reads."""

    def restore(self, checkpoint_path: str) -> None:
        """Restore nothing."""
