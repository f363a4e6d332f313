"""Who writes to an output, where the system keeps no lock that every machine sees: a numbered object that is renewed.

Each holder makes the next number on the condition that it is not there, so one of several wins. No clock is compared:
who finds a lease watches whether it is renewed, and takes the next number only after none came for PATIENCE_S.
"""

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any
from uuid import uuid4

from dgsweep.errors import DgsweepError
from dgsweep.storage.files import create_bytes, names, read_bytes, remove_file, write_bytes
from dgsweep.storage.place import AnyPath

RENEW_S = 5.0
PATIENCE_S = 30.0
_POLL_S = 0.5
_OVER: Mapping[str, Any] = {"released": True}

Holder = Mapping[str, Any]


class LeaseHeldError(DgsweepError):
    """Somebody renews the lease."""

    def __init__(self, holder: Holder) -> None:
        self.holder = holder
        super().__init__(f"held by {dict(holder)}")


class Lease:
    """The right to write to one output.

    Args:
        folder: Where the numbered objects lie; nothing else may.
        holder: Who takes it, as the message to the next one.
        is_dead: Whether a holder is known to be gone, so that nobody has to wait.
    """

    def __init__(self, folder: AnyPath, holder: Holder, *, is_dead: Callable[[Holder], bool]) -> None:
        self._folder = folder
        self._holder = {**holder, "token": uuid4().hex}
        self._is_dead = is_dead
        self._number = 0
        self._beats = 0
        self._over = threading.Event()
        self._renewer = threading.Thread(target=self._renew, name="lease", daemon=True)
        self.lost = False

    def take(self, waiting: Callable[[Holder], None]) -> None:
        """Take it, at once or after PATIENCE_S without a renewal; `waiting` is told of the holder that may be dead.

        Raises:
            LeaseHeldError: Somebody holds it.
        """
        while True:
            number, content = self._newest()
            if number:
                self._require_over(number, content, waiting)
            self._number = number + 1
            if create_bytes(self._path(self._number), self._content()) and self._newest()[0] == self._number:
                break  # else somebody else was first, and is found in the next round
        for old in self._numbers():
            if old < self._number:
                remove_file(self._path(old))
        self._renewer.start()

    def release(self) -> None:
        """Let the next one have it at once. The number stays, so that nobody can take it a second time."""
        self._over.set()
        if self._renewer.is_alive():
            self._renewer.join()
        if not self.lost:
            write_bytes(self._path(self._number), _encoded(_OVER), durable=False)

    def _require_over(self, number: int, content: bytes, waiting: Callable[[Holder], None]) -> None:
        holder = _decoded(content)
        if holder == _OVER or self._is_dead(holder):
            return
        waiting(holder)
        give_up_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < give_up_s:
            time.sleep(_POLL_S)
            found, now = self._newest()
            if found == number and _decoded(now) == _OVER:
                return
            if (found, now) != (number, content):
                raise LeaseHeldError(_decoded(now))

    def _renew(self) -> None:
        while not self._over.wait(RENEW_S):
            try:
                self._beat()
            except (DgsweepError, OSError):
                continue  # a store that does not answer now may do so next time
            if self.lost:
                if not self._over.is_set():  # else the work is done anyway
                    os.kill(os.getpid(), signal.SIGINT)
                return

    def _beat(self) -> None:
        self._beats += 1
        if self._newest()[0] > self._number:
            self.lost = True
        else:
            write_bytes(self._path(self._number), self._content(), durable=False)

    def _newest(self) -> tuple[int, bytes]:
        """Highest number and what stands in it; 0 when there is none."""
        if not (numbers := self._numbers()):
            return 0, b""
        try:
            return max(numbers), read_bytes(self._path(max(numbers)))
        except FileNotFoundError:  # removed by the one who made the next
            return max(numbers), b""

    def _numbers(self) -> list[int]:
        return [int(name) for name in names(self._folder) if name.isdecimal()]

    def _content(self) -> bytes:
        return _encoded({**self._holder, "beats": self._beats})

    def _path(self, number: int) -> AnyPath:
        return self._folder / f"{number:08d}"


def _encoded(holder: Holder) -> bytes:
    return json.dumps(dict(holder)).encode()


def _decoded(content: bytes) -> Holder:
    try:
        holder = json.loads(content)
    except ValueError:
        return {}
    return holder if isinstance(holder, dict) else {}
