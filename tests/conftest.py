"""One thread for every test: tensors are small, and two cores are shared with the processes that tests start.

`make test` runs two processes of tests: a file stays in one of them, and all that start a Ray stay together, since two
at a time would wait for each other's cores.
"""

import logging
import os
from collections.abc import Iterator
from uuid import uuid4

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")


WITH_RAY = {
    "test_ray.py", "test_job_submission.py", "test_main_job.py", "test_nodes_without_a_shared_disk.py",
}  # fmt: skip


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files as groups; the longest, which is Ray's, first."""
    for item in items:
        group = "ray" if item.path.name in WITH_RAY else item.path.relative_to(item.config.rootpath).as_posix()
        item.add_marker(pytest.mark.xdist_group(group))
    items.sort(key=lambda item: item.path.name not in WITH_RAY)


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
