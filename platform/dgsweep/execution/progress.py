"""What a person sees while a sweep runs: bars on a terminal, plain lines elsewhere."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

LINE_EVERY_S = 10.0
POLL_EVERY_S = 1.0

Heartbeat = Callable[[str], Mapping[str, Any]]
"""Reads the last heartbeat of a trial from the ledger; {} when there is none."""


@dataclass
class RunningTrial:
    """How far one running trial is."""

    name: str
    step: int = 0
    steps: int = 0
    phase: str = "start"
    scored: int = 0
    to_score: int = 0
    """Cases, once they are being scored; a trial that learns nothing has no other measure of how far it is."""

    @property
    def fraction(self) -> float:
        """Share of the training budget that is done, or of the cases where there is no training; 0 to 1."""
        done, wanted = (self.step, self.steps) if self.steps else (self.scored, self.to_score)
        return min(1.0, done / wanted) if wanted else 0.0

    @property
    def counted(self) -> tuple[int, int]:
        """What is being counted in this phase, steps or cases: how many are done, and of how many."""
        return (self.scored, self.to_score) if self.phase == "score" and self.to_score else (self.step, self.steps)

    @property
    def text(self) -> str:
        """Short text: name, phase, and the steps or cases that are done."""
        done, wanted = self.counted
        return f"{self.name}: {self.phase} {done}/{wanted}" if wanted else f"{self.name}: {self.phase}"


class SweepProgress:
    """Counts trials and shows them; safe to tell from several threads."""

    def __init__(self, console: Console, *, total: int, reused: int, heartbeat: Heartbeat) -> None:
        self._console = console
        self._total = total
        self._reused = reused
        self._heartbeat = heartbeat
        self._done = 0
        self._failed = 0
        self._pruned = 0
        self._running: dict[str, RunningTrial] = {}
        self._lock = threading.Lock()
        self._started_s = time.monotonic()
        self._bars = _Bars(console) if console.is_terminal else None
        self._last_line_s = self._started_s

    def started(self, trial_id: str, name: str) -> None:
        """Show a trial as running."""
        with self._lock:
            self._running.setdefault(trial_id, RunningTrial(name=name))

    def update(self, trial_id: str, report: Mapping[str, Any]) -> None:
        """Take steps, cases and phase of a running trial, from a report or a heartbeat."""
        with self._lock:
            trial = self._running.get(trial_id)
            if trial is None:
                return
            trial.step = max(trial.step, int(report.get("step", 0)))
            trial.steps = int(report.get("steps", trial.steps))
            trial.phase = str(report.get("phase", trial.phase))
            trial.scored = max(trial.scored, int(report.get("scored", 0)))
            trial.to_score = int(report.get("to_score", trial.to_score))

    def finished(self, trial_id: str, *, cause: str = "") -> None:
        """Count a trial as done, or as failed when there is a cause, and say so."""
        with self._lock:
            trial = self._running.pop(trial_id, None)
            self._failed += bool(cause)
            self._done += not cause
        name = trial.name if trial else trial_id
        text = f"failed  {name}: {_first_line(cause)}" if cause else f"done    {name}"
        self._console.print(text, style="red" if cause else None, markup=False, highlight=False, soft_wrap=True)

    def stopped(self, trial_id: str) -> None:
        """Say that a trial stopped at a checkpoint and goes on with the next run."""
        with self._lock:
            trial = self._running.pop(trial_id, None)
        where = f" at step {trial.step}" if trial and trial.step else ""
        text = f"stopped {trial.name if trial else trial_id}{where}"
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def pruned(self, trial_id: str, cause: str) -> None:
        """Count a trial as stopped by the scheduler, and say so."""
        with self._lock:
            trial = self._running.pop(trial_id, None)
            self._pruned += 1
        text = f"pruned  {trial.name if trial else trial_id}: {_first_line(cause)}"
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Keep the view fresh, by heartbeats too, until the block ends."""
        stop = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(stop,), name="sweep-progress", daemon=True)
        watcher.start()
        try:
            yield
        finally:
            stop.set()
            watcher.join()
            if self._bars:
                self._bars.close()
            self._console.print(self.line(), markup=False, highlight=False, soft_wrap=True)

    def line(self) -> str:
        """One plain line: done, running, failed, estimated time to go, and each running trial."""
        with self._lock:
            running = list(self._running.values())
            done = f"{self._reused + self._done}/{self._total} trials done"
            counts = f"{done}, {len(running)} running, {self._failed} failed"
            counts += f", {self._pruned} pruned" if self._pruned else ""
            texts = [counts, *([f"about {_duration(eta)} to go"] if (eta := self._eta_s()) else [])]
        return " | ".join([*texts, *(trial.text for trial in running[:8])])

    def _eta_s(self) -> float:
        """Seconds to go at the pace so far; 0 while there is no pace yet or nothing is left."""
        finished = self._done + self._failed + self._pruned
        work = finished + sum(trial.fraction for trial in self._running.values())
        left = self._total - self._reused - work
        return (time.monotonic() - self._started_s) * left / work if work > 0 else 0.0

    def _watch(self, stop: threading.Event) -> None:
        while not stop.wait(POLL_EVERY_S):
            for trial_id in list(self._running):
                self.update(trial_id, self._heartbeat(trial_id))
            if self._bars:
                with self._lock:
                    self._bars.show(self._running, self._reused + self._done + self._failed + self._pruned, self._total)
                    self._bars.caption(f"{self._failed} failed, about {_duration(self._eta_s())} to go")
            elif time.monotonic() - self._last_line_s >= LINE_EVERY_S:
                self._last_line_s = time.monotonic()
                self._console.print(self.line(), markup=False, highlight=False, soft_wrap=True)


class _Bars:
    """One bar for the sweep and one for each running trial."""

    def __init__(self, console: Console) -> None:
        counts = TextColumn("{task.completed:g}/{task.total:g}")
        columns = (TextColumn("{task.description}", markup=False), BarColumn(), counts)
        self._progress = Progress(*columns, TimeElapsedColumn(), console=console, transient=True)
        self._sweep = self._progress.add_task("trials", total=None)
        self._trials: dict[str, TaskID] = {}
        self._progress.start()

    def show(self, running: Mapping[str, RunningTrial], finished: int, total: int) -> None:
        """Bring every bar to the state of the sweep."""
        self._progress.update(self._sweep, completed=finished, total=total)
        for gone in self._trials.keys() - running.keys():
            self._progress.remove_task(self._trials.pop(gone))
        for trial_id, trial in running.items():
            done, wanted = trial.counted
            if trial_id not in self._trials:
                self._trials[trial_id] = self._progress.add_task(trial.name, total=wanted or None)
            self._progress.update(
                self._trials[trial_id],
                completed=done,
                total=wanted or 1,
                description=f"{trial.name} ({trial.phase})",
            )

    def caption(self, text: str) -> None:
        """Put failures and time to go beside the bar of the sweep."""
        self._progress.update(self._sweep, description=f"trials ({text})")

    def close(self) -> None:
        """Take the bars off the terminal."""
        self._progress.stop()


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0] if text.strip() else "no cause given"


def _duration(seconds: float) -> str:
    """Round a time to what a person plans with: seconds, minutes or hours."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
