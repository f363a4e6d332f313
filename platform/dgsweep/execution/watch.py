"""The driver's watch over a running sweep: requests to stop, caps, room on the disk, and its own sign of life."""

import os
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from dgsweep.config.schema import SweepConfig
from dgsweep.errors import Problem, ResourceError
from dgsweep.execution.caps import HOUR_S, Cap, Holding, Spending, caps_of
from dgsweep.execution.gate import Verdict
from dgsweep.plan.trial import TrialSpec
from dgsweep.records.ledger import Ledger
from dgsweep.records.provenance import utc_now
from dgsweep.records.state import TrialState
from dgsweep.records.steering import (
    TrialCost,
    read_cost,
    request_stop,
    stop_request,
    withdraw_stop,
    write_driver_state,
)
from dgsweep.storage.files import UNANSWERED, names
from dgsweep.storage.place import is_uri

LOOK_EVERY_S = 1.0
SIGN_EVERY_S = 5.0
GIB = 2**30


@dataclass(frozen=True, kw_only=True)
class Ending:
    """Why a run ends before every trial is done."""

    text: str
    go_on: str = ""
    """What to change before it is run again."""


class SweepWatch:
    """Looks every second while a sweep runs, and answers executors whether one more trial may start.

    While there is an `ending` no trial starts; those that run finish, or stop at a checkpoint when it is `stopping`.
    """

    def __init__(self, config: SweepConfig, ledger: Ledger, specs: Sequence[TrialSpec]) -> None:
        self._config, self._ledger, self._specs = config, ledger, list(specs)
        self._started_s = time.monotonic()
        self._since = utc_now()
        self._ending: Ending | None = None
        self._stopping = False
        self._notice = False
        self._running: set[str] = set()
        self._caps: list[Cap] = []
        self._spending = Spending(specs, (), {})
        self._lock = threading.RLock()
        self._over = threading.Event()

    @property
    def ending(self) -> Ending | None:
        """Why the run ends early; None while it does not."""
        return self._ending

    @property
    def stopping(self) -> bool:
        """Whether running trials were asked to stop at a checkpoint."""
        return self._stopping or self._notice

    def place(self, holding: Holding) -> None:
        """Learn what a trial holds, and check caps and disk before anything starts.

        Raises:
            ResourceError: There is a cap on GPU-hours and no trial holds a GPU, or the disk has too little room.
        """
        self._caps = caps_of(self._config.budget, holding)
        if not holding.gpus and self._config.budget.max_gpu_hours:
            problem = Problem(
                where="budget.max_gpu_hours",
                found="the trials of this sweep hold no GPU",
                fix="cap budget.max_core_hours or budget.max_wall_h",
            )
            raise ResourceError("a cap would never be reached:", [problem])
        if full := self._full_disk():
            raise ResourceError("the disk is too small:", [Problem(where="output", found=full, fix="make room")])
        if self._caps or self._config.budget.max_wall_h:
            states = self._ledger.states_of(self._specs)
            done = [trial_id for trial_id, state in states.items() if state is TrialState.DONE]
            self._spending = Spending(self._specs, done, all_costs(self._ledger))

    def expect(self, spec: TrialSpec) -> None:
        """Take note of a trial that was proposed just now: caps hold for it, too."""
        with self._lock:
            self._specs.append(spec)
            self._spending.expect(spec)

    def started(self, trial_id: str) -> None:
        """Note that a trial runs."""
        with self._lock:
            self._running.add(trial_id)

    def finished(self, trial_id: str, *, done: bool) -> None:
        """Note that a trial runs no more; its worker may have seen a request to stop before this watch did."""
        self._look()
        with self._lock:
            self._running.discard(trial_id)
            self._spending.spent[trial_id] = read_cost(self._ledger.paths(trial_id))
            if done:
                self._spending.finished(trial_id)

    def announce_end(self) -> None:
        """Take the notice that this process will be ended soon; called by a signal handler, so it only sets a flag."""
        self._notice = True

    def verdict(self, trial_id: str) -> Verdict:
        """Whether this trial may start now."""
        self._look()
        with self._lock:
            if self._ending is None:
                self._ending = self._passed_by(trial_id)
            return Verdict.END if self._ending else Verdict.START

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Look every second until the block ends; a request that an earlier run left is forgotten."""
        withdraw_stop(self._ledger.files)
        self._sign()
        thread = threading.Thread(target=self._watch, name="sweep-watch", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()
            withdraw_stop(self._ledger.files)
            self._sign(ended=True)

    def _watch(self) -> None:
        signed_s = time.monotonic()
        while not self._over.wait(LOOK_EVERY_S):
            before = self._stopping
            self._look()
            if time.monotonic() - signed_s >= SIGN_EVERY_S or before != self._stopping:
                signed_s = time.monotonic()
                self._sign()

    def _look(self) -> None:
        with self._lock:
            if self._stopping:
                return
            for trial_id in self._running if self._caps else ():
                self._spending.spent[trial_id] = read_cost(self._ledger.paths(trial_id))
            if found := self._must_stop():
                self._ending, self._stopping = found, True
                request_stop(self._ledger.files, found.text)

    def _must_stop(self) -> Ending | None:
        """Why running trials must stop now, too."""
        if self._notice:
            return Ending(text="SIGTERM")
        if reason := stop_request(self._ledger.files):
            return Ending(text=reason)
        if full := self._full_disk():
            return Ending(text=full, go_on="make room on the disk")
        limit_h = self._config.budget.max_wall_h
        if limit_h and self._run_s() >= limit_h * HOUR_S:
            return Ending(text=f"budget.max_wall_h, {limit_h:g} h, is reached")
        return next((_reached(cap, self._spending.hours(cap)) for cap in self._caps if self._is_spent(cap)), None)

    def _run_s(self) -> float:
        return time.monotonic() - self._started_s

    def _is_spent(self, cap: Cap) -> bool:
        return self._spending.hours(cap) >= cap.hours

    def _passed_by(self, trial_id: str) -> Ending | None:
        """The cap that one more trial would pass, as far as those that are done tell."""
        limit_h = self._config.budget.max_wall_h
        if limit_h and self._run_s() + self._spending.wall_s_left(trial_id) > limit_h * HOUR_S:
            return Ending(text=f"one more trial would pass budget.max_wall_h, {limit_h:g} h")
        for cap in self._caps:
            if self._spending.passes(cap, trial_id, self._running):
                spent = f"{self._spending.hours(cap):.3g} of {cap.hours:g} {cap.unit} are spent"
                return Ending(text=f"one more trial would pass {cap.key}: {spent}", go_on=f"raise {cap.key}")
        return None

    def _full_disk(self) -> str:
        least_gib = self._config.resources.min_free_gib
        for folder in (self._config.output, self._config.data.cache or self._config.output):
            if is_uri(folder):
                continue
            here = Path(folder).absolute()
            existing = next(place for place in (here, *here.parents) if place.exists())
            free_gib = shutil.disk_usage(existing).free / GIB
            if free_gib < least_gib:
                return f"{free_gib:.2f} GiB free for {folder}, less than resources.min_free_gib {least_gib:g}"
        return ""

    def _sign(self, *, ended: bool = False) -> None:
        with self._lock:
            state = {
                "pid": os.getpid(),
                "since": self._since,
                "running": len(self._running),
                "ending": self._ending.text if self._ending else "",
                "stopping": self.stopping,
                "ended": ended,
            }
        with suppress(*UNANSWERED):  # a sign of life is no reason to end on a full disk
            write_driver_state(self._ledger.files, state)


def _reached(cap: Cap, hours: float) -> Ending:
    text = f"{cap.key}, {cap.hours:g} {cap.unit}, is reached: {hours:.3g} are spent"
    return Ending(text=text, go_on=f"raise {cap.key}")


def all_costs(ledger: Ledger) -> dict[str, TrialCost]:
    """Trial id -> what it cost so far, for every trial that ever began in this output."""
    began = names(ledger.files.trials)
    return dict(zip(began, ledger.each(lambda name: read_cost(ledger.files.trial(name)), began), strict=True))
