"""One local Ray for all tests of this folder, and the trivial sweep."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray

sys.path.insert(0, str(Path(__file__).parent))  # tests are no package: this makes execution_stand_in importable

import execution_stand_in

from dgsweep.execution.cluster import living_nodes
from dgsweep.execution.resources import Node


@pytest.fixture(scope="session")
def two_cpu_ray() -> Iterator[list[Node]]:
    """A Ray of two cores, whatever the machine has; the sweep uses the connection that is open."""
    ray.init(
        address="local", num_cpus=2, num_gpus=0, object_store_memory=128 * 2**20, include_dashboard=True,
        log_to_driver=False, logging_level="ERROR",
    )  # fmt: skip
    ray.cloudpickle.register_pickle_by_value(execution_stand_in)
    yield living_nodes()
    ray.shutdown()
