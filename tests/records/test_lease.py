"""One driver per output where no file lock reaches: in a store, and on a disk that several machines share."""

import errno
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import filelock
import pytest

from dgsweep.errors import InputError
from dgsweep.records import lease as leases
from dgsweep.records.lease import Lease, LeaseHeldError
from dgsweep.records.ledger import Ledger
from dgsweep.storage.files import names, read_bytes
from dgsweep.storage.place import place

QUICK = {"RENEW_S": 0.1, "PATIENCE_S": 1.0, "_POLL_S": 0.05}
HOLDER = f"""
    import sys
    from dgsweep.errors import DgsweepError
    from dgsweep.records import lease
    from dgsweep.records.ledger import Ledger
    vars(lease).update({QUICK!r})
    try:
        with Ledger(sys.argv[1]).lock():
            print("held", flush=True)
            sys.stdin.read()
    except DgsweepError as error:
        print(error, flush=True)
"""


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    for name, value in QUICK.items():
        monkeypatch.setattr(leases, name, value)


def start_holder(output: str, interrupts: signal.Handlers | Callable = signal.default_int_handler) -> subprocess.Popen:
    """What is ignored here is ignored by what is started here."""
    command = [sys.executable, "-c", textwrap.dedent(HOLDER), output]
    before = signal.signal(signal.SIGINT, interrupts)
    try:
        holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    finally:
        signal.signal(signal.SIGINT, before)
    assert holder.stdout.readline() == b"held\n"
    return holder


def test_in_a_store_a_second_driver_is_refused_by_name_until_the_first_let_go(s3_folder):
    with Ledger(s3_folder).lock():
        with pytest.raises(InputError, match=f"process {os.getpid()} on .* since 20"), Ledger(s3_folder).lock():
            pass
        with Ledger(f"{s3_folder}-other").lock():
            pass
        assert Ledger(s3_folder).files.driver.exists()
    started = time.monotonic()
    with Ledger(s3_folder).lock():
        assert time.monotonic() - started < QUICK["PATIENCE_S"]
    assert not Ledger(s3_folder).files.driver.exists()
    assert len(names(Ledger(s3_folder).files.lease)) == 1
    assert b"host" not in read_bytes(Ledger(s3_folder).files.lease / "00000002")


def test_the_lease_of_a_driver_that_was_killed_is_taken_over_after_a_wait(s3_folder):
    holder = start_holder(s3_folder)
    with pytest.raises(InputError, match=f"process {holder.pid}"), Ledger(s3_folder).lock():
        pass
    holder.kill()
    holder.wait()
    started = time.monotonic()
    with Ledger(s3_folder).lock():
        assert time.monotonic() - started > QUICK["PATIENCE_S"]


@pytest.mark.parametrize("interrupts", [signal.default_int_handler, signal.SIG_IGN], ids=["heeded", "ignored"])
def test_a_driver_that_slept_while_another_took_over_stops_and_says_so(s3_folder, interrupts):
    holder = start_holder(s3_folder, interrupts)
    holder.send_signal(signal.SIGSTOP)
    with Ledger(s3_folder).lock():
        holder.send_signal(signal.SIGCONT)
        assert b"another driver took over" in holder.stdout.readline()
    holder.communicate()


def test_a_driver_that_ignores_interrupts_goes_on_when_somebody_presses_ctrl_c(s3_folder):
    holder = start_holder(s3_folder, signal.SIG_IGN)
    holder.send_signal(signal.SIGINT)
    time.sleep(0.3)
    assert holder.poll() is None
    assert holder.communicate(timeout=10)[0] == b""


@pytest.mark.parametrize("where", ["disk", "s3"])
def test_of_several_that_find_a_dead_lease_one_takes_it(where, request, tmp_path):
    folder = place(tmp_path if where == "disk" else request.getfixturevalue("s3_folder"))
    dead = Lease(folder, {"pid": 0}, is_dead=lambda holder: False)
    dead.take(lambda holder: None)
    dead._over.set()  # it gives no sign of life any more
    start = threading.Barrier(4)

    def take(number: int) -> Lease | None:
        lease = Lease(folder, {"pid": number}, is_dead=lambda holder: False)
        start.wait()
        try:
            lease.take(lambda holder: None)
        except LeaseHeldError:
            return None
        return lease

    with ThreadPoolExecutor(4) as pool:
        held = [lease for lease in pool.map(take, range(1, 5)) if lease is not None]
    assert len(held) == 1
    assert not held[0].lost
    held[0].release()


def left_by(output: Path, boot: str) -> None:
    """A lease on a disk whose holder is gone."""
    (output / "driver.lease").mkdir(parents=True)
    (output / "driver.lease" / "00000001").write_text(f'{{"pid": 1, "host": "elsewhere", "boot": "{boot}"}}')


def test_on_a_disk_the_lock_of_this_machine_ends_the_wait_and_of_another_machine_it_does_not(tmp_path, caplog):
    here = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    took_s = {}
    for boot in (here, "another"):
        left_by(tmp_path / boot, boot)
        started = time.monotonic()
        with Ledger(tmp_path / boot).lock():
            took_s[boot] = time.monotonic() - started
    assert took_s[here] < QUICK["PATIENCE_S"] < took_s["another"]
    assert "a driver on elsewhere held this output last" in caplog.text


def test_on_a_disk_without_file_locks_a_second_driver_is_refused_too(tmp_path, monkeypatch):
    def no_locks(self: filelock.FileLock) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    holder = start_holder(str(tmp_path))  # its own lock works, this process has none
    monkeypatch.setattr(filelock.FileLock, "_acquire", no_locks)
    with pytest.raises(InputError, match=f"process {holder.pid}"), Ledger(tmp_path).lock():
        pass
    holder.communicate()
    with Ledger(tmp_path).lock():
        pass


def test_an_output_seen_under_another_path_is_one_output(tmp_path):
    (tmp_path / "mounted").mkdir()
    (tmp_path / "elsewhere").symlink_to(tmp_path / "mounted")
    holder = start_holder(str(tmp_path / "mounted"))
    with pytest.raises(InputError, match=f"process {holder.pid}"), Ledger(tmp_path / "elsewhere").lock():
        pass
    holder.kill()
    holder.wait()
    with Ledger(tmp_path / "elsewhere").lock():
        pass


def test_a_bucket_that_is_not_there_is_wrong_input(s3_bucket):
    with pytest.raises(InputError, match=r"cannot be used[\s\S]*s3://nowhere"), Ledger("s3://nowhere/x").lock():
        pass
