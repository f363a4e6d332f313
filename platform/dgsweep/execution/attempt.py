"""Who trains a trial now. A worker that was given up may still live, on a node that only the network lost."""

import os
from uuid import uuid4

from dgsweep.errors import TrialFailedError
from dgsweep.records.ledger import Ledger
from dgsweep.storage.files import UNANSWERED, read_bytes, write_bytes

FILE = "attempt"
SUPERSEDED = "superseded"
"""Kind of the failure of a worker that another one took the trial over from; the record is no longer its business."""


class Attempt:
    """The name of the process that runs a trial last, beside the trial's record; the last to begin is the one.

    Args:
        ledger: where to.
        trial_id: of what.
    """

    def __init__(self, ledger: Ledger, trial_id: str) -> None:
        self._path = ledger.paths(trial_id).root / FILE
        self._name = ""

    def begin(self) -> None:
        """Take the trial over from whoever may still run it."""
        self._name = uuid4().hex
        write_bytes(self._path, self._name.encode(), durable=False)

    def is_over(self) -> bool:
        """Whether another process began after this one, so that what this one knows of the trial is out of date."""
        if not self._name:
            return False
        try:
            return read_bytes(self._path) != self._name.encode()
        except UNANSWERED:  # the disk does not answer; the next look may tell
            return False

    def require_current(self) -> None:
        """Refuse to write the record of a trial that another process runs.

        Raises:
            TrialFailedError: Another process runs it.
        """
        if self.is_over():
            raise TrialFailedError(f"another worker took the trial over from process {os.getpid()}", kind=SUPERSEDED)
