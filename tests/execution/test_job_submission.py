"""A sweep sent to a running cluster by `ray job submit --working-dir .`, with token authentication as Ray wants it."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import psutil
import pytest

from dgsweep.data.phantom import PhantomSpec, write_phantom

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
SWEEP = """
name: job
data: {manifest: data/manifest.csv, spacing_mm: [4, 4, 4], patch: [16, 16, 8]}
protocol: {kind: explicit, splits: [{sources: ["*/T1W"], targets: ["*/T2W"]}]}
methods: [erm]
networks: [{name: unet_tiny, options: {width: 4, levels: 3}}]
budget: {steps: 4}
training: {batch: 2}
output: runs/job
"""


@dataclass(frozen=True, kw_only=True)
class Cluster:
    dashboard: str
    environment: dict[str, str]

    def submit(self, folder: Path, *entry: str, **variables: str) -> subprocess.CompletedProcess[str]:
        command = [str(BIN / "ray"), "job", "submit", "--address", self.dashboard, "--working-dir", str(folder)]
        runtime = ["--runtime-env-json", json.dumps({"env_vars": variables})]
        for _ in range(60):
            result = subprocess.run(
                [*command, *runtime, "--", *entry],
                capture_output=True, text=True, check=False, timeout=300, env=self.environment,
            )  # fmt: skip
            if "No available agent" not in result.stderr:  # the agent starts after the dashboard answers
                break
            time.sleep(1)
        return result


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A head node of two cores in a session of its own, so that exactly its processes can be ended."""
    path = os.pathsep.join([str(BIN), os.environ["PATH"]])
    environment = {**os.environ, "RAY_AUTH_MODE": "token", "PATH": path, "COLUMNS": "200"}
    environment.pop("RAY_ADDRESS", None)
    port, dashboard, agent = _free_port(), _free_port(), _free_port()
    with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp", ignore_cleanup_errors=True) as folder:  # short: sockets
        head = subprocess.Popen(
            [str(BIN / "ray"), "start", "--head", "--block", "--num-cpus=2", f"--port={port}", "--disable-usage-stats",
             f"--dashboard-port={dashboard}", f"--dashboard-agent-listen-port={agent}", f"--temp-dir={folder}/r"],
            env=environment, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            _wait_for(f"http://127.0.0.1:{dashboard}/api/version")
            yield Cluster(dashboard=f"http://127.0.0.1:{dashboard}", environment=environment)
        finally:
            _end_session(head.pid)
            head.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(url: str) -> None:
    for _ in range(1000):
        try:
            urllib.request.urlopen(url, timeout=2).close()
        except urllib.error.HTTPError:  # it answers: it wants the token
            return
        except OSError:
            time.sleep(0.25)
        else:
            return
    pytest.fail("the head node did not come up")


def _end_session(session: int) -> None:
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == session:
                process.send_signal(signal.SIGKILL)
        except (psutil.NoSuchProcess, ProcessLookupError):
            continue


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository's own root, as a researcher who cloned it submits it, with scans and a sweep file."""
    folder = tmp_path_factory.mktemp("project")
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    write_phantom(folder / "data", PhantomSpec(patients_per_center=4, centers=2, shape=(32, 32, 16)))
    (folder / "sweep.yaml").write_text(SWEEP)
    return folder


LOOK_AND_RUN = """
import os, platform
print("here:", sorted(os.listdir(".")), flush=True)
print("os is", platform.system(), flush=True)
os.execvp("dgsweep", ["dgsweep", "run", "sweep.yaml"])
"""


@pytest.fixture(scope="module")
def refused(cluster: Cluster, project: Path) -> subprocess.CompletedProcess[str]:
    """A job that looks around where it stands and becomes the sweep, which has no place for its output."""
    return cluster.submit(project, "python", "-c", LOOK_AND_RUN)


def test_inside_a_job_a_relative_output_exits_2_and_says_what_to_do(
    refused: subprocess.CompletedProcess[str], project: Path
) -> None:
    assert refused.returncode == 1  # of `ray job submit`
    assert "failed with exit code 2" in refused.stdout + refused.stderr
    assert "set DGSWEEP_HOME" in refused.stdout + refused.stderr
    assert not (project / "runs").exists()


def test_in_a_job_from_the_repository_root_platform_is_the_standard_librarys(
    refused: subprocess.CompletedProcess[str],
) -> None:
    assert "os is Linux" in refused.stdout + refused.stderr, refused.stdout + refused.stderr
    assert "'platform'" in refused.stdout + refused.stderr


def test_a_submitted_sweep_runs_on_the_cluster_and_leaves_its_ledger_at_home(
    cluster: Cluster, project: Path, tmp_path: Path
) -> None:
    result = cluster.submit(project, "dgsweep", "run", "sweep.yaml", DGSWEEP_HOME=str(tmp_path))
    assert "1 trials run, 0 reused, 0 failed" in result.stdout + result.stderr, result.stdout + result.stderr
    (trial,) = (tmp_path / "runs" / "job" / "trials").iterdir()
    assert (trial / "DONE").exists()
    assert set(pd.read_parquet(trial / "cases.parquet")["sequence"]) == {"T1W", "T2W"}
