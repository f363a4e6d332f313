"""A tracking server or database that goes away: the sweep finishes, and what MLflow lacks is written later."""

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from fault_sweep import FaultSweep

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


class Server:
    """A real `mlflow server` on a SQLite file, in a session of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self._port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--workers", "1", "--port", str(self._port),
                   "--backend-store-uri", f"sqlite:///{self._folder / 'server.db'}",
                   "--artifacts-destination", str(self._folder / "artifacts")]  # fmt: skip
        self._process = subprocess.Popen(
            command, env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}, start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=self._folder,
        )  # fmt: skip
        for _ in range(480):
            try:
                urllib.request.urlopen(f"{self.uri}/health", timeout=2).close()
            except OSError:
                time.sleep(0.25)
            else:
                return
        pytest.fail("the MLflow server did not come up")

    def send(self, number: int) -> None:
        if self._process:
            os.killpg(self._process.pid, number)

    def kill(self) -> None:
        if self._process:
            self.send(signal.SIGKILL)
            self._process.wait()
            self._process = None


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path)
    made.start()
    yield made
    made.kill()


def first_trial_done(sweep: FaultSweep, driver: subprocess.Popen[str]) -> None:
    while not sweep.finished():
        assert driver.poll() is None, sweep.log()
        time.sleep(0.2)


def require_complete(sweep: FaultSweep, undisturbed: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(sweep.table(), undisturbed, check_exact=True)
    runs = sweep.trial_runs()
    assert [run.info.status for run in runs] == ["FINISHED"] * sweep.seeds
    assert {run.info.lifecycle_stage for run in runs} == {"active"}
    client = mlflow.MlflowClient(sweep.content()["tracking"]["uri"])
    for run in runs:
        assert any(name.startswith("dice/") for name in run.data.metrics)
        curves = [name for name in run.data.metrics if name.startswith("curve/")]
        assert curves
        for name in curves:  # a request that was answered too late may leave a point twice, never two values
            points = {(point.step, point.value) for point in client.get_metric_history(run.info.run_id, name)}
            steps = [step for step, _ in points]
            assert sorted(steps) == sorted(set(steps)), f"{name} has two values at one step"


def test_a_server_that_dies_for_good_costs_nothing_and_sync_completes_it_later(
    tmp_path: Path, manifest: Path, undisturbed: pd.DataFrame, server: Server
) -> None:
    sweep = FaultSweep(folder=tmp_path / "s", manifest=manifest, changes={"tracking": {"uri": server.uri}})
    driver = sweep.start("--executor", "inline")
    first_trial_done(sweep, driver)
    server.kill()
    assert driver.wait(300) == 0, sweep.log()
    assert sweep.log().count("cannot be reached") == 1
    assert f"dgsweep status {sweep.output} --sync-mlflow" in sweep.log()
    refused = sweep.verb("status", str(sweep.output), "--sync-mlflow")
    assert (refused.returncode, "Traceback" in refused.stderr) == (1, False)
    assert "try again when it answers" in refused.stderr
    server.start()
    synced = sweep.verb("status", str(sweep.output), "--sync-mlflow")
    assert synced.returncode == 0, synced.stderr
    require_complete(sweep, undisturbed)


@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_a_server_that_is_away_for_a_minute_is_complete_at_the_end(
    tmp_path: Path, manifest: Path, undisturbed: pd.DataFrame, server: Server, how: str
) -> None:
    """Away: no connection at all, or (SIGSTOP) one that never answers."""
    sweep = FaultSweep(folder=tmp_path / "s", manifest=manifest, pause_s=1.5)
    sweep.changes = {"tracking": {"uri": server.uri}}
    sweep.write()
    driver = sweep.start("--executor", "inline")
    while len(sweep.logged_steps()) < 10:
        assert driver.poll() is None, sweep.log()
        time.sleep(0.2)
    server.kill() if how == "killed" else server.send(signal.SIGSTOP)
    time.sleep(60)
    assert driver.poll() is None
    server.start() if how == "killed" else server.send(signal.SIGCONT)
    assert driver.wait(600) == 0, sweep.log()
    require_complete(sweep, undisturbed)


def test_a_locked_database_costs_nothing_and_sync_completes_it_later(
    tmp_path: Path, manifest: Path, undisturbed: pd.DataFrame
) -> None:
    sweep = FaultSweep(folder=tmp_path, manifest=manifest)
    mlflow.MlflowClient(sweep.content()["tracking"]["uri"]).search_experiments()  # makes the tables
    with closing(sqlite3.connect(tmp_path / "mlflow.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert sweep.run("--executor", "inline", timeout_s=600) == 0, sweep.log()
        assert "locked" in sweep.log()
        assert "Traceback" not in sweep.log()
        other.execute("ROLLBACK")
    synced = sweep.verb("status", str(sweep.output), "--sync-mlflow")
    assert synced.returncode == 0, synced.stderr
    require_complete(sweep, undisturbed)
