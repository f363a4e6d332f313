"""What keeps a worker's process from hanging for ever, and lets it hear that its node is going away.

Both rest on `faulthandler`, since Train runs a trial outside of the main thread, where Python takes no signal, and a
hung extension may hold the interpreter's lock.
"""

import faulthandler
import os
import shutil
import signal
import tempfile
import time
from pathlib import Path
from typing import Self

from dgsweep.records.paths import TrialPaths
from dgsweep.storage.scratch import scratch_folder

GOING = "its node is going away"
TWICE = 2
"""A trial is started again after the first time it hung, not after the second."""


class Guard:
    """Watches this process while the block runs.

    Ends it when `moved` was not called for `timeout_s`, leaving in the trial's folder where every thread stood; and
    notes SIGTERM instead of dying of it, so that the trial can stop at a checkpoint.

    Args:
        paths: of the trial.
        rank: of this worker.
        timeout_s: None never ends the process.
        active: False does nothing, for a trial that shares the driver's process.
    """

    def __init__(self, paths: TrialPaths, rank: int, timeout_s: float | None, *, active: bool) -> None:
        self._timeout_s = timeout_s if active else None
        self._active = active
        self._note = _hangs(paths) / f"{time.time_ns()}-{rank}.txt"
        self._armed_s = 0.0
        self._streams: list[int] = []

    def __enter__(self) -> Self:
        if self._active:
            stream, name = tempfile.mkstemp(prefix="sigterm")
            Path(name).unlink()
            self._told = stream
            self._streams.append(self._told)
            faulthandler.register(signal.SIGTERM, file=self._told, all_threads=False, chain=False)
        if self._timeout_s:
            self._note.parent.mkdir(parents=True, exist_ok=True)
            self._stood = os.open(self._note, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            self._streams.append(self._stood)
            self.moved()
        return self

    def __exit__(self, *_: object) -> None:
        if self._timeout_s:
            faulthandler.cancel_dump_traceback_later()
            self._note.unlink(missing_ok=True)
        if self._active:
            faulthandler.unregister(signal.SIGTERM)
        for stream in self._streams:
            os.close(stream)

    def moved(self) -> None:
        """Note progress: a finished step, a report."""
        if self._timeout_s and time.monotonic() - self._armed_s > self._timeout_s / 50:
            self._armed_s = time.monotonic()
            faulthandler.dump_traceback_later(self._timeout_s, exit=True, file=self._stood)

    def going(self) -> str:
        """That the node is going away, once SIGTERM came; '' before."""
        return GOING if self._active and os.fstat(self._told).st_size else ""


def _hangs(paths: TrialPaths) -> Path:
    """Folder of the notes; a process that ends itself can only write to a disk, so a store's are its own machine's."""
    return paths.hangs if isinstance(paths.hangs, Path) else scratch_folder() / "hangs" / paths.root.name


def hang_notes(paths: TrialPaths) -> list[Path]:
    """Where each start of a trial stood that was ended for hanging, oldest first; one note for each start."""
    notes = sorted(note for note in _hangs(paths).glob("*.txt") if note.stat().st_size)
    starts: list[Path] = []
    for note in notes:
        if not starts or note.stat().st_mtime - starts[-1].stat().st_mtime > 1.0:  # ranks of one start end together
            starts.append(note)
    return starts


def hang_cause(paths: TrialPaths) -> tuple[str, str]:
    """Cause and traceback of a trial that hung for the second time; ('', '') where it did not."""
    notes = hang_notes(paths)
    if len(notes) < TWICE:
        return "", ""
    return f"no progress for resources.hang_timeout_s, {len(notes)} times in a row", notes[-1].read_text()


def forget_hangs(paths: TrialPaths) -> None:
    """Remove the notes of earlier runs."""
    shutil.rmtree(_hangs(paths), ignore_errors=True)
