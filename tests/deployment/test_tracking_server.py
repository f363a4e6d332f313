"""The tracking server of compose.yaml, as local processes: PostgreSQL, basic-auth, artifacts proxied to an S3 store."""

import json
import shutil
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import boto3
import psycopg2
import pytest
from local_services import Services
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from dgsweep.errors import InputError
from dgsweep.records.mlflow_store import MlflowStore, RunBody, RunHead, RunKey

if shutil.which("postgres") is None or shutil.which("initdb") is None:
    pytest.skip("PostgreSQL's server is not installed", allow_module_level=True)

KEY = RunKey(kind="trial", key="one")


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    with Services(tmp_path_factory.mktemp("services")) as running:
        running.start_postgres()
        running.start_s3()
        running.start_mlflow()
        yield running


@pytest.fixture
def signed_in(services: Services, monkeypatch: pytest.MonkeyPatch) -> Services:
    """As compose.yaml signs the driver in: a user name, and the file of a password."""
    for name in ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_PASSWORD_FILE"):
        monkeypatch.setenv(name, "")  # so that what the client sets is undone
        monkeypatch.delenv(name)
    variables = services.environment("ray-head")
    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD_FILE"):
        monkeypatch.setenv(name, variables[name])
    return services


def search(services: Services, **headers: str) -> int:
    """HTTP status of a search for experiments."""
    request = urllib.request.Request(
        f"{services.mlflow_url}/api/2.0/mlflow/experiments/search",
        data=json.dumps({"max_results": 1}).encode(),
        headers={"Content-Type": "application/json", **headers},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refusal:
        return refusal.code


def basic(password: str) -> str:
    return "Basic " + b64encode(f"admin:{password}".encode()).decode()


def test_a_request_without_the_password_is_refused(services: Services) -> None:
    assert search(services) == 401
    assert search(services, Authorization=basic("wrong-password")) == 401
    assert search(services, Authorization=basic(services.secret("mlflow_admin_password"))) == 200


def test_a_request_under_a_name_that_is_not_listed_is_refused(services: Services) -> None:
    right = basic(services.secret("mlflow_admin_password"))
    assert search(services, Authorization=right, Host="mlflow.evil.example") == 403
    assert search(services, Authorization=right, Host="mlflow:5000") == 200


def test_a_run_goes_to_postgres_and_its_artifacts_through_the_server_to_the_s3_store(signed_in: Services) -> None:
    store = MlflowStore(signed_in.mlflow_url, "proxied", "sweep-1")
    run_id = store.ensure(KEY, RunHead(name="one", tags={}))
    store.log(KEY, RunBody(metrics={"dice": 0.5}, time_ms=1, texts={"table.csv": "a,b\n1,2\n"}))
    client = MlflowClient(signed_in.mlflow_url)
    run = client.get_run(run_id)
    assert run.info.artifact_uri.startswith("mlflow-artifacts:/")  # workers need no key of the store
    assert run.data.metrics == {"dice": 0.5}
    assert Path(client.download_artifacts(run_id, "table.csv")).read_text() == "a,b\n1,2\n"
    bucket = boto3.client(
        "s3", endpoint_url=signed_in.environment("mlflow")["MLFLOW_S3_ENDPOINT_URL"], region_name="us-east-1",
        aws_access_key_id=signed_in.secret("s3_access_key"), aws_secret_access_key=signed_in.secret("s3_secret_key"),
    )  # fmt: skip
    listed = [item["Key"] for item in bucket.list_objects_v2(Bucket="mlflow")["Contents"]]
    assert [name for name in listed if run_id in name and name.startswith("mlflow/") and name.endswith("table.csv")]
    connection = psycopg2.connect(
        host="127.0.0.1", port=signed_in.ports["database"], user="mlflow", dbname="mlflow",
        password=signed_in.secret("database_password"),
    )  # fmt: skip
    cursor = connection.cursor()
    cursor.execute("SELECT value FROM metrics WHERE run_uuid = %s", (run_id,))
    assert cursor.fetchall() == [(0.5,)]
    connection.close()


def test_a_password_in_the_address_is_used_and_not_written(services: Services, tmp_path: Path) -> None:
    password = services.secret("mlflow_admin_password")
    address = services.mlflow_url.replace("http://", f"http://admin:{password}@")
    store = MlflowStore(address, "in-address", "sweep-2")
    run_id = store.ensure(KEY, RunHead(name="one", tags={}))
    run = MlflowClient(address).get_run(run_id)
    assert run.info.experiment_id == store.experiment_id
    assert password not in str(run.to_dictionary())


def test_without_a_password_nothing_is_read(signed_in: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_PASSWORD_FILE")
    monkeypatch.delenv("MLFLOW_TRACKING_USERNAME")
    with pytest.raises(MlflowException, match="401"):
        MlflowStore(signed_in.mlflow_url, "proxied", "sweep-1")


def test_a_password_file_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_PASSWORD", raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD_FILE", str(tmp_path / "gone"))
    with pytest.raises(InputError, match="gone"):
        MlflowStore(f"sqlite:///{tmp_path / 'mlflow.db'}", "x", "sweep-1")
    (tmp_path / "gone").write_text("\n")
    with pytest.raises(InputError, match="empty"):
        MlflowStore(f"sqlite:///{tmp_path / 'mlflow.db'}", "x", "sweep-1")


def test_no_log_of_a_service_holds_a_secret(services: Services) -> None:
    public = {"s3_access_key", "s3_identities"}  # an access key is a name: every signed request shows it
    secrets = [services.secret(name) for name in services.content["secrets"] if name not in public]
    logs = "".join(path.read_text(errors="replace") for path in services.folder.glob("*.log"))
    assert "Uvicorn running" in logs or "Listening" in logs
    assert [secret for secret in secrets if secret in logs] == []
