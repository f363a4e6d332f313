"""A node that dies while a driver joins the cluster."""

import os
import subprocess
import sys

import pytest
from fault_cluster import FaultCluster, environment

pytestmark = pytest.mark.slow

JOINS = """
import os, signal, sys
import ray
from dgsweep.execution.cluster import require_same_version
ray.init(address="auto", logging_level="ERROR", log_to_driver=False)
listed = ray.nodes()
os.kill(int(sys.argv[1]), signal.SIGKILL)
require_same_version(listed)
print(sum(node["Alive"] for node in listed))
"""


def test_a_node_that_dies_after_it_was_listed_is_no_reason_to_refuse_the_others() -> None:
    with FaultCluster(2) as cluster:
        victim = cluster.raylets()[0]
        done = subprocess.run(
            [sys.executable, "-c", JOINS, str(victim)], env={**environment(), "RAY_ADDRESS": cluster.address},
            capture_output=True, text=True, timeout=200, check=False, cwd=os.sep,
        )  # fmt: skip
    assert (done.stdout.split()[-1:], done.returncode) == (["3"], 0), done.stderr
