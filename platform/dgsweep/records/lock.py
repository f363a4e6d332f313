"""One driver per output folder."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from filelock import FileLock, Timeout

from dgsweep.errors import InputError, Problem
from dgsweep.records.atomic import RecordError, read_json, write_json
from dgsweep.records.paths import SweepPaths
from dgsweep.records.provenance import utc_now


@contextmanager
def driver_lock(paths: SweepPaths) -> Iterator[None]:
    """Hold the output folder until the block ends; the system releases it when the process dies.

    Raises:
        InputError: Another driver holds it.
    """
    paths.output.mkdir(parents=True, exist_ok=True)
    lock = FileLock(paths.lock, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise InputError("another driver writes to this output folder", [_occupied(paths)]) from error
    try:
        write_json(paths.driver, {"pid": os.getpid(), "since": utc_now()})
        yield
    finally:
        paths.driver.unlink(missing_ok=True)
        lock.release()


def _occupied(paths: SweepPaths) -> Problem:
    try:
        holder = read_json(paths.driver) or {}
    except RecordError:
        holder = {}
    found = f"held by process {holder.get('pid', 'unknown')} since {holder.get('since', 'an unknown time')}"
    fix = "wait for it (`dgsweep status` shows how far it is), stop it, or give this sweep another `output`"
    return Problem(where=str(paths.output), found=found, fix=fix)
