"""A cluster whose nodes share an object store and no folder for state: the second has a scratch disk of its own."""

import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import psutil
import pytest

from dgsweep.storage.place import place

RAY = str(Path(sys.executable).with_name("ray"))
OWN_DISK = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none "$1" && shift && exec "$@"', "node"]


def may_mount() -> bool:
    if shutil.which("unshare") is None:
        return False
    with tempfile.TemporaryDirectory() as folder:
        return subprocess.run([*OWN_DISK, folder, "true"], capture_output=True, check=False).returncode == 0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def end(process: subprocess.Popen) -> None:
    """End a node with everything that it started, and nothing else."""
    for member in [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]:
        try:
            member.send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            continue
    process.wait()


@pytest.fixture
def two_nodes(tmp_path, s3_bucket, monkeypatch) -> Iterator[str]:
    """Address of a head that runs no trial, and a node of two cores whose scratch folder is a disk of its own."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("DGSWEEP_SCRATCH", str(scratch))
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    address = f"127.0.0.1:{free_port()}"
    common = ["start", "--block", "--disable-usage-stats"]
    with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp", ignore_cleanup_errors=True) as folder:
        head = [RAY, *common, "--head", "--num-cpus=0", f"--port={address.split(':')[1]}", f"--temp-dir={folder}/r",
                f"--dashboard-port={free_port()}", f"--dashboard-agent-listen-port={free_port()}"]  # fmt: skip
        node = [*OWN_DISK, str(scratch), RAY, *common, f"--address={address}", "--num-cpus=2",
                f"--dashboard-agent-listen-port={free_port()}"]  # fmt: skip
        started = []
        try:
            for command in (head, node):
                started.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
                time.sleep(15)
            yield address
        finally:
            for process in reversed(started):
                end(process)


@pytest.mark.slow
@pytest.mark.skipif(not may_mount(), reason="mounting in a name space of its own is not allowed here")
def test_a_sweep_into_a_store_runs_on_a_node_that_shares_no_state_with_the_driver(desk, two_nodes, s3_folder, tmp_path):
    desk.output = s3_folder
    desk.write(output=s3_folder, data=desk.content["data"] | {"cache": f"{s3_folder}-cache"})
    done = desk.run("run", str(desk.file), "--address", two_nodes, "--no-report", timeout_s=400)
    assert "1 trials run, 0 reused, 0 failed" in done.stdout, done.stderr
    far = desk.scores()
    assert not (tmp_path / "scratch" / "cache").exists(), "the trial ran beside the driver, which proves nothing"
    assert list(place(f"{s3_folder}-cache").rglob("*.npz"))
    desk.output = str(tmp_path / "near")
    desk.write(output=desk.output, data={**desk.content["data"], "cache": None})
    assert desk.sweep("--no-report").returncode == 0
    pd.testing.assert_frame_equal(far, desk.scores())
