"""A worker that hangs ends itself, even where Python cannot run, and SIGTERM is a notice; in processes of their own."""

import subprocess
import sys
from pathlib import Path

from dgsweep.execution.guard import forget_hangs, hang_cause, hang_notes
from dgsweep.records.paths import TrialPaths

HANG = """
import ctypes, sys, threading, time
from pathlib import Path
from dgsweep.execution.guard import Guard
from dgsweep.records.paths import TrialPaths
def stuck_in_an_extension():
    ctypes.PyDLL(None).sleep(60)  # PyDLL keeps the interpreter's lock
def work():
    with Guard(TrialPaths(Path(sys.argv[1])), 0, 1.0, active=True) as guard:
        for _ in range(int(sys.argv[2])):
            guard.moved()
            time.sleep(0.1)
        if len(sys.argv) > 3:
            stuck_in_an_extension()
worker = threading.Thread(target=work)
worker.start()
worker.join()
print("alive")
"""
TOLD = """
import os, signal, sys, threading, time
from pathlib import Path
from dgsweep.execution.guard import Guard
from dgsweep.records.paths import TrialPaths
def work():
    with Guard(TrialPaths(Path(sys.argv[1])), 0, None, active=True) as guard:
        before = guard.going()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.5)
        print([before, guard.going()], flush=True)
worker = threading.Thread(target=work)
worker.start()
worker.join()
os.kill(os.getpid(), signal.SIGTERM)
time.sleep(30)
"""


def run(code: str, *arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_a_process_without_progress_ends_itself_and_says_where_it_stood(tmp_path: Path) -> None:
    paths = TrialPaths(tmp_path)
    moving = run(HANG, tmp_path, 20)
    assert (moving.stdout, moving.returncode, hang_notes(paths)) == ("alive\n", 0, [])
    assert run(HANG, tmp_path, 2, "hang").returncode == 1
    assert "in stuck_in_an_extension" in hang_notes(paths)[0].read_text()
    assert hang_cause(paths) == ("", "")
    run(HANG, tmp_path, 2, "hang")
    cause, traceback = hang_cause(paths)
    assert cause == "no progress for resources.hang_timeout_s, 2 times in a row"
    assert "in stuck_in_an_extension" in traceback
    forget_hangs(paths)
    assert hang_cause(paths) == ("", "")


def test_sigterm_is_heard_outside_of_the_main_thread_and_ends_the_process_only_after_the_trial(tmp_path: Path) -> None:
    told = run(TOLD, tmp_path)
    assert told.stdout == "['', 'its node is going away']\n"
    assert told.returncode == -15
