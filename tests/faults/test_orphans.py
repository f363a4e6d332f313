"""What a killed driver leaves behind on a cluster that lives on is given back."""

import os
import subprocess
import sys

import pytest
from fault_cluster import FaultCluster, environment

pytestmark = pytest.mark.slow

LEAVES_A_KEEPER = """
import ray
from ray.util import placement_group
ray.init(address="auto", namespace="orphans", logging_level="ERROR")

@ray.remote(num_cpus=0, lifetime="detached", name="keeper")
class Keeper:
    def take(self):  # as a Train controller does when its workers died with the driver
        return placement_group([{"CPU": 1}]).ready() and None

keeper = Keeper.remote()
ray.get(keeper.__ray_ready__.remote())
placement_group([{"CPU": 1}], lifetime="detached", name="meant_to_stay").wait(30)
print("left", flush=True)
"""
LOOKS = """
import ray, time
from ray.util import placement_group
from dgsweep.execution.orphans import remove_orphans

def free_cpus():
    time.sleep(2)  # resources are told of every second
    return ray.available_resources().get("CPU", 0.0)

ray.init(address="auto", namespace="orphans", logging_level="ERROR", log_to_driver=False)
ray.get(ray.get_actor("keeper").take.remote())
mine = placement_group([{"CPU": 1}])
assert mine.wait(30)
print(free_cpus(), remove_orphans(), free_cpus(), remove_orphans())
"""

HOLDS = """
import ray
from ray.util import placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy as In
from dgsweep.execution.orphans import idle_groups

@ray.remote(num_cpus=1)
class Worker:
    pass

ray.init(address="auto", logging_level="ERROR", log_to_driver=False)
used, idle, waiting = (placement_group([bundle]) for bundle in ({"CPU": 1}, {"CPU": 1}, {"memory": 1}))
assert all(group.wait(30) for group in (used, idle, waiting))
worker = Worker.options(scheduling_strategy=In(used)).remote()
ray.get(worker.__ray_ready__.remote())
found = idle_groups(ray.get_runtime_context().get_job_id())
print(found == {idle.id.hex()}, idle_groups("ffffffff"))
"""


def run(code: str, address: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], env={**environment(), "RAY_ADDRESS": address}, capture_output=True, text=True,
        timeout=200, check=False, cwd=os.sep,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_placement_group_of_a_dead_job_is_removed_and_those_of_the_living_and_detached_ones_stay() -> None:
    with FaultCluster(3) as cluster:
        assert run(LEAVES_A_KEEPER, cluster.address) == "left"
        assert run(LOOKS, cluster.address) == "0.0 1 1.0 0"


def test_a_group_of_processors_without_an_actor_is_idle_and_one_of_tune_or_with_an_actor_is_not() -> None:
    with FaultCluster(2) as cluster:
        assert run(HOLDS, cluster.address) == "True set()"
