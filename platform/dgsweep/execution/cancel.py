"""Stops a running sweep from another shell or another machine, through a file that its driver and workers watch."""

import time

from dgsweep.errors import DgsweepError, InputError
from dgsweep.records.ledger import Ledger
from dgsweep.records.steering import driver_state, request_stop

REASON = "dgsweep cancel"
LOOK_EVERY_S = 0.5


def cancel(ledger: Ledger, *, wait_s: float) -> bool:
    """Ask the sweep to stop at checkpoints, and wait until it has.

    Returns:
        Whether it had ended within `wait_s`; it goes on stopping afterwards.

    Raises:
        InputError: No driver runs on this output.
    """
    if not driver_state(ledger.files).get("lives"):
        raise InputError(f"{ledger.output}: no sweep runs there (its driver gave no sign of life for a minute)")
    request_stop(ledger.files, REASON)
    deadline_s = time.monotonic() + wait_s
    while time.monotonic() < deadline_s:
        state = driver_state(ledger.files)
        if not state.get("lives"):
            if not state.get("ended"):
                raise DgsweepError(f"{ledger.output}: the driver gave no more sign of life; its trials can be resumed")
            return True
        time.sleep(LOOK_EVERY_S)
    return False
