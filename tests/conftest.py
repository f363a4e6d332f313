"""One thread for every test: tensors are small, and two cores are shared with the processes that tests start.

`make test` runs two processes of tests: a file stays in one of them, and all that start a Ray stay together, since two
at a time would wait for each other's cores.
"""

import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from xdist.scheduler import LoadScopeScheduling

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")

IN_MEMORY, NEEDED_BYTES = Path("/dev/shm"), 4 * 2**30
"""Where tests write, if it is there and not as small as in a container: ledgers and databases wait for the disk at
each write (`fsync`), thousands of times in all, and no test pulls a plug. TMPDIR of the processes stays what it is."""

if os.access(IN_MEMORY, os.W_OK) and shutil.disk_usage(IN_MEMORY).free > NEEDED_BYTES:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(IN_MEMORY))


WITH_RAY = {
    "test_ray.py", "test_job_submission.py", "test_main_job.py", "test_nodes_without_a_shared_disk.py",
}  # fmt: skip


class FilesTogether(LoadScopeScheduling):
    """A file is one piece of work, and the files that start a Ray are one together."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::", 1)[0]
        return "ray" if file.rsplit("/", 1)[-1] in WITH_RAY else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> FilesTogether:
    """Asked where tests run in several processes."""
    return FilesTogether(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first, which are Ray's."""
    items.sort(key=lambda item: item.path.name not in WITH_RAY)


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's database without a run, to be copied: a new one takes seconds, for its tables."""
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("database") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture(scope="session")
def s3_bucket() -> Iterator[str]:
    """Address of a bucket on an S3-compatible server of this machine, which the environment names to all processes."""
    import boto3
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    account = {"AWS_ACCESS_KEY_ID": "somebody", "AWS_SECRET_ACCESS_KEY": "nobody-must-see-this"}
    with pytest.MonkeyPatch.context() as environment:
        for name, value in account.items():
            environment.setenv(name, value)
        environment.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
        boto3.client("s3").create_bucket(Bucket="sweeps")
        yield "s3://sweeps"
    server.stop()


@pytest.fixture
def s3_folder(s3_bucket: str) -> str:
    """Address of an empty folder there."""
    return f"{s3_bucket}/runs/{uuid4().hex}"
