"""How a sweep joins Ray, and what it says when it cannot. Each in a process of its own, since Ray is one a process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

NOWHERE = ["127.0.0.1:1", "ray://127.0.0.1:10001", "nonsense"]
JOIN = """
import sys
from dgsweep.errors import ResourceError
from dgsweep.execution.cluster import ray_session
for address in sys.argv[1:]:
    try:
        with ray_session(address):
            pass
    except ResourceError as refused:
        print(refused)
"""


def test_an_address_where_nothing_answers_is_named_at_once() -> None:
    result = subprocess.run(
        [sys.executable, "-c", JOIN, *NOWHERE], capture_output=True, text=True, timeout=180, check=False
    )
    for address in NOWHERE:
        assert f"the Ray cluster cannot be joined:\n  - address {address}" in result.stdout, result.stderr


STOPPED = """
import os, signal, sys, threading, time
from pathlib import Path
from execution_stand_in import make_config, make_manifest, make_plan, make_run, make_spec, quiet
import execution_stand_in, ray
from dgsweep.errors import DgsweepError
from dgsweep.execution.sweep import run_sweep
folder = Path(sys.argv[1])
ray.cloudpickle.register_pickle_by_value(execution_stand_in)
def stop():
    while not list((folder / "diary").glob("two.0.0")):
        time.sleep(0.2)
    os.kill(os.getpid(), signal.SIGTERM)
threading.Thread(target=stop, daemon=True).start()
one, two = make_spec("one"), make_spec("two")
run = make_run(folder / "diary", seconds=0.0)
def slow(job, link):
    if job.spec["trial_id"] == "two":
        (folder / "diary" / "two.0.0").write_text("{}")
        time.sleep(300)
    run(job, link)
plan = make_plan(one, two)
try:
    run_sweep(make_config(folder, cpus_per_trial=1), plan, make_manifest(folder), console=quiet(), run=slow,
              resume_command="dgsweep run x")
except DgsweepError as stopped:
    print(type(stopped).__name__, stopped)
"""


@pytest.mark.slow
def test_sigterm_ends_a_sweep_on_ray_with_the_command_that_goes_on(tmp_path: Path) -> None:
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    result = subprocess.run(
        [sys.executable, "-c", STOPPED, str(tmp_path)],
        capture_output=True, text=True, timeout=240, check=False, env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip
    assert result.stdout.startswith("SweepInterruptedError"), result.stderr
    assert "dgsweep run x" in result.stdout
