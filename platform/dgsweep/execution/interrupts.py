"""Turn the signals by which a person or a job system stops a sweep into one clean way out."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from dgsweep.execution.outcome import SweepInterruptedError


@contextmanager
def stops_cleanly(resume_command: str) -> Iterator[None]:
    """Raise SweepInterruptedError when Ctrl-C, or in the main thread SIGTERM, stops the block."""
    in_main_thread = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, _interrupt) if in_main_thread else None
    try:
        yield
    except KeyboardInterrupt as stop:
        raise SweepInterruptedError(resume_command) from stop
    finally:
        if in_main_thread:
            signal.signal(signal.SIGTERM, before)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
