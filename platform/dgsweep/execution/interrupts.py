"""Turn the signals by which a person or a job system stops a sweep into one clean way out."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from dgsweep.execution.outcome import SweepInterruptedError


class Notice:
    """What SIGTERM does first: it asks, and ends the block only when the grace time is over or it comes again.

    Args:
        grace_s: Seconds between asking and ending.
    """

    def __init__(self, grace_s: float) -> None:
        self._grace_s = grace_s
        self.ask: Callable[[], None] | None = None
        """Called in the signal handler; None ends the block at once."""
        self.given = False
        """Whether the block was asked to end."""
        self._timer: threading.Timer | None = None

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        """Ask, or end."""
        del frame
        if self.ask is None or self.given:
            raise KeyboardInterrupt
        self.given = True
        self.ask()
        self._timer = threading.Timer(self._grace_s, signal.raise_signal, (number,))
        self._timer.daemon = True
        self._timer.start()

    def over(self) -> None:
        """Forget the end of the grace time."""
        if self._timer:
            self._timer.cancel()


@contextmanager
def stops_cleanly(resume_command: str, notice: Notice | None = None) -> Iterator[None]:
    """Raise SweepInterruptedError when Ctrl-C, or in the main thread SIGTERM, stops the block."""
    notice = notice or Notice(0.0)
    in_main_thread = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, notice.on_signal) if in_main_thread else None
    try:
        yield
        if notice.given:
            raise SweepInterruptedError(resume_command)
    except KeyboardInterrupt as stop:
        raise SweepInterruptedError(resume_command) from stop
    finally:
        notice.over()
        if in_main_thread:
            signal.signal(signal.SIGTERM, before)
