"""A sweep sent to the cluster of compose.yaml by `dgsweep submit`; its record is read through authenticated MLflow."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from local_services import Services
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from dgsweep.data.phantom import PhantomSpec, write_phantom

pytestmark = pytest.mark.slow
if shutil.which("postgres") is None or shutil.which("initdb") is None:
    pytest.skip("PostgreSQL's server is not installed", allow_module_level=True)

SWEEP = """
name: sent
data: {{manifest: {scans}/manifest.csv}}
protocol: {{kind: explicit, splits: [{{sources: ["*/T1W"], targets: ["*/T2W"]}}]}}
methods: [erm]
networks: [unet_tiny]
budget: {{steps: 4}}
output: sent
tracking: {{uri: {mlflow}}}
"""


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    with Services(tmp_path_factory.mktemp("services")) as running:
        running.start_postgres()
        running.start_s3()
        running.start_mlflow()
        running.start_ray()
        yield running


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scans")
    write_phantom(folder, PhantomSpec(patients_per_center=4, centers=2, shape=(32, 32, 16)))
    return folder


@pytest.fixture(scope="module")
def sweep(services: Services, scans: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("laptop") / "sweep.yaml"
    file.write_text(SWEEP.format(scans=scans, mlflow=services.mlflow_url))
    return file


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


def laptop(services: Services) -> dict[str, str]:
    """A machine that knows the cluster's token and nothing else of it."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("RAY_", "MLFLOW_"))}
    return {**clean, "RAY_AUTH_TOKEN_PATH": services.content["secrets"]["ray_token"]["file"], "COLUMNS": "200"}


def send(
    services: Services, sweep: Path, home: Path, *more: str, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dgsweep.cli", "submit", str(sweep), "--address", services.dashboard_url]
    return subprocess.run(
        [*command, "--home", str(home), "--json", *more], env=environment or laptop(services),
        capture_output=True, text=True, check=False, timeout=500,
    )  # fmt: skip


def test_a_submitter_without_the_token_is_refused(services: Services, sweep: Path, home: Path, tmp_path: Path) -> None:
    stranger = {**laptop(services), "HOME": str(tmp_path)}
    del stranger["RAY_AUTH_TOKEN_PATH"]
    result = send(services, sweep, home, environment=stranger)
    assert result.returncode == 2, result.stderr
    assert "Authentication required: Unauthorized" in result.stderr  # it was reached, and said no
    assert not any(home.iterdir())


def test_a_sweep_is_sent_once_and_its_record_is_read_through_the_server(
    services: Services, sweep: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = send(services, sweep, home)
    assert first.returncode == 0, first.stderr[-4000:]
    assert "1 trials run, 0 reused, 0 failed" in first.stderr
    assert json.loads(first.stdout)["status"] == "SUCCEEDED"
    again = json.loads(send(services, sweep, home).stdout)
    assert again == {**json.loads(first.stdout), "submitted": False}
    (trial,) = (home / "sent" / "trials").iterdir()
    dice = pd.read_parquet(trial / "cases.parquet")["dice"]
    assert len(dice) > 0

    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "admin")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", services.secret("mlflow_admin_password"))
    client = MlflowClient(services.mlflow_url)
    experiment = client.get_experiment_by_name("sent")
    runs = {run.data.tags["dgsweep.kind"]: run for run in client.search_runs([experiment.experiment_id])}
    assert runs["trial"].data.tags["dgsweep.trial_id"] == trial.name
    assert runs["trial"].info.status == runs["sweep"].info.status == "FINISHED"
    plan = next(item.path for item in client.list_artifacts(runs["sweep"].info.run_id) if item.path.endswith(".json"))
    assert trial.name in Path(client.download_artifacts(runs["sweep"].info.run_id, plan)).read_text()

    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "not-the-password")
    with pytest.raises(MlflowException, match="401"):
        client.get_experiment_by_name("sent")


class BrokenTunnel:
    """Passes connections on to the dashboard, and cuts all that are open when it is told to: a laptop that sleeps."""

    def __init__(self, port: int) -> None:
        self._target, self._ends = port, list[socket.socket]()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self._target))
            self._ends += [near, far]
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._pass_on, args=(source, sink), daemon=True).start()

    @staticmethod
    def _pass_on(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self._ends.clear()

    def close(self) -> None:
        self.cut()
        self._listener.close()


def test_a_connection_that_breaks_is_taken_up_again_without_repeating_the_log(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", laptop(services)["RAY_AUTH_TOKEN_PATH"])
    tunnel = BrokenTunnel(services.ports["dashboard"])
    code = (
        "import sys, time; from dgsweep.execution.submit import _client; from dgsweep.execution.follow import follow;"
        "client = _client(sys.argv[1]);"
        "command = 'python -u -c \"import time; [(print(f\\'line {i}.\\'), time.sleep(0.5)) for i in range(40)]\"';"
        "print(follow(client, client.submit_job(entrypoint=command), sys.stdout))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, tunnel.url], env=laptop(services), stdout=subprocess.PIPE, text=True
    )
    printed, cuts = "", 0
    for line in process.stdout:
        printed += line
        if "line 5." in line or "line 15." in line:
            tunnel.cut()
            cuts += 1
    tunnel.close()
    assert process.wait() == 0
    assert cuts == 2
    assert "('SUCCEEDED', 0)" in printed
    assert [printed.count(f"line {i}.") for i in range(40)] == [1] * 40


def test_what_failed_is_sent_again_under_the_next_id(services: Services, sweep: Path, home: Path) -> None:
    options = ("--set", "output=/proc/nowhere", "--no-wait")
    ids = []
    for _ in range(2):
        ids.append(json.loads(send(services, sweep, home, *options).stdout)["submission_id"])
        done = send(services, sweep, home, *options[:2])  # the same again: it is followed, or sent as the next attempt
        assert done.returncode == 2, done.stderr[-2000:]
    assert ids[1].startswith(f"{ids[0]}-")


def test_the_files_of_the_sweep_are_their_owners_alone_and_hold_no_secret(services: Services, home: Path) -> None:
    files = [path for path in home.rglob("*") if path.is_file()]
    assert len(files) > 5
    assert [path for path in files if path.stat().st_mode & 0o077] == []
    secrets = [services.secret(name) for name in services.content["secrets"] if name != "s3_identities"]
    found = [path for path in files if any(secret.encode() in path.read_bytes() for secret in secrets)]
    assert found == []


def test_a_wheel_travels_to_nodes_that_have_another_dgsweep(services: Services, sweep: Path, home: Path) -> None:
    result = send(services, sweep, home, "--wheel", "auto", "--set", "output=wheel")
    assert result.returncode == 0, result.stderr[-4000:]
    (trial,) = (home / "wheel" / "trials").iterdir()
    provenance = json.loads((trial / "provenance.json").read_text())
    assert provenance["commit"] == ""  # it came out of the wheel, not out of the checkout that the nodes have
    (other,) = (home / "sent" / "trials").iterdir()
    assert json.loads((other / "provenance.json").read_text())["commit"]
