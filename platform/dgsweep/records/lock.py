"""One driver per output, on any machine.

Drivers of one machine are told apart by a file lock, which the system releases when a process dies. A file system may
keep such locks from other nodes, and an object store has none: there a lease decides.
"""

import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from dgsweep.errors import DgsweepError, InputError, Problem
from dgsweep.records import lease as leases
from dgsweep.records.atomic import read_json_or_empty, write_json
from dgsweep.records.lease import Lease, LeaseHeldError
from dgsweep.records.paths import SweepPaths
from dgsweep.records.provenance import utc_now
from dgsweep.storage.files import StorageError, make_folder, remove_file
from dgsweep.storage.locks import NO_LOCKS, boot_id

_LOG = logging.getLogger(__name__)


@contextmanager
def driver_lock(paths: SweepPaths) -> Iterator[None]:
    """Hold the output until the block ends, or until this process dies.

    After a driver of another machine died without a word, the next one waits `lease.PATIENCE_S` for a sign of it.

    Raises:
        InputError: Another driver holds it.
        DgsweepError: Another driver took it, because this process gave no sign of life for `lease.PATIENCE_S`.
    """
    make_folder(paths.output)
    with _file_lock(paths) as locked:
        holder = {"pid": os.getpid(), "host": socket.gethostname(), "boot": boot_id(), "since": utc_now()}
        lease = Lease(paths.lease, holder, is_dead=lambda old: locked and old.get("boot") == boot_id() != "")
        try:
            lease.take(_tell_of_waiting)
        except LeaseHeldError as held:
            raise _refusal(paths, held.holder) from held
        except StorageError as error:
            fix = "name an output that this machine may write to"
            problem = Problem(where="output", found=str(error), fix=fix)
            raise InputError("the output cannot be used", [problem]) from error
        try:
            write_json(paths.driver, holder)
            with _heeding(lease):
                yield
        except KeyboardInterrupt:
            if lease.lost:
                raise _taken_over(paths) from None
            raise
        finally:
            with suppress(StorageError):  # then the next driver waits until the lease is known to be dead
                if not lease.lost:
                    remove_file(paths.driver)
                lease.release()


@contextmanager
def _file_lock(paths: SweepPaths) -> Iterator[bool]:
    """Hold `driver.lock`; False where there are no such locks. InputError when a process of this machine holds it."""
    lock = _locked(paths)
    try:
        yield lock is not None
    finally:
        if lock is not None:
            lock.release()


def _locked(paths: SweepPaths) -> FileLock | None:
    if not isinstance(paths.lock, Path):
        return None
    lock = FileLock(paths.lock, timeout=0, fallback_to_soft=False)
    try:
        lock.acquire()
    except Timeout as error:
        raise _refusal(paths, read_json_or_empty(paths.driver)) from error
    except (NotImplementedError, OSError) as error:
        if isinstance(error, OSError) and error.errno not in NO_LOCKS:
            raise
        _LOG.warning("%s: this disk has no file locks (%s); the lease alone keeps drivers apart", paths.output, error)
        return None
    return lock


@contextmanager
def _heeding(lease: Lease) -> Iterator[None]:
    """Let a lost lease interrupt, too, where interrupts are ignored, as in what a shell starts with `&`."""
    ignored = signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    if not ignored or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop_if_lost(*_: object) -> None:
        if lease.lost:
            raise KeyboardInterrupt

    signal.signal(signal.SIGINT, stop_if_lost)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _refusal(paths: SweepPaths, holder: Mapping[str, Any]) -> InputError:
    who = f"process {holder.get('pid', 'unknown')} on {holder.get('host', 'an unknown machine')}"
    found = f"held by {who} since {holder.get('since', 'an unknown time')}"
    fix = "wait for it (`dgsweep status` shows how far it is), stop it, or give this sweep another `output`"
    return InputError(
        "another driver writes to this output folder", [Problem(where=str(paths.output), found=found, fix=fix)]
    )


def _taken_over(paths: SweepPaths) -> DgsweepError:
    return DgsweepError(
        f"{paths.output}: another driver took over, because this one gave no sign of life for "
        f"{leases.PATIENCE_S:.0f} s; every finished trial is kept, and `dgsweep status` shows how far it is"
    )


def _tell_of_waiting(holder: Mapping[str, Any]) -> None:
    _LOG.warning(
        "a driver on %s held this output last; waiting up to %.0f s for a sign of it",
        holder.get("host", "an unknown machine"), leases.PATIENCE_S,
    )  # fmt: skip
