"""Several sweeps, and nodes that differ, on one cluster: `ray.cluster_utils.Cluster`, drivers as processes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dgsweep.config.limits import ResourcesConfig
from dgsweep.errors import ResourceError
from dgsweep.execution.resources import Node, as_node, concurrent_trials, resolve_resources

CLUSTER = """
import json, os, sys, time
from ray.cluster_utils import Cluster
nodes = json.loads(sys.argv[1])
cluster = Cluster(initialize_head=True, head_node_args={"include_dashboard": True, **nodes[0]})
for node in nodes[1:]:
    cluster.add_node(**node)
cluster.wait_for_nodes()
print(cluster.address, flush=True)
sys.stdin.read()
cluster.shutdown()
"""
DRIVER = """
import sys
from pathlib import Path
import ray, execution_stand_in
from execution_stand_in import make_config, make_manifest, make_plan, make_run, make_spec, quiet
from dgsweep.execution.sweep import run_sweep
folder, address, resources, count = Path(sys.argv[1]), sys.argv[2], eval(sys.argv[3]), int(sys.argv[4])
ray.cloudpickle.register_pickle_by_value(execution_stand_in)
behind = make_run(folder / "diary", seconds=2.0)
def run(job, link):
    (folder / ("node-" + job.spec["trial_id"])).write_text(ray.get_runtime_context().get_node_id())
    behind(job, link)
plan = make_plan(*(make_spec(f"{folder.name}{i}") for i in range(count)))
outcome = run_sweep(make_config(folder, **resources), plan, make_manifest(folder), address=address, console=quiet(),
                    run=run, allow_open=True)
print(outcome.done, len(outcome.failed), outcome.failed)
"""
ENVIRONMENT = {
    **os.environ,
    "RAY_AUTH_MODE": "disabled",
    "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]),
}


class Machines:
    """A cluster in a process of its own."""

    def __init__(self, *nodes: dict) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", CLUSTER, json.dumps(nodes)], env=ENVIRONMENT, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self.address = self._process.stdout.readline().strip()

    def sweep(self, folder: Path, count: int, **resources) -> subprocess.Popen:
        folder.mkdir()
        command = [sys.executable, "-c", DRIVER, str(folder), self.address, repr(resources), str(count)]
        return subprocess.Popen(command, env=ENVIRONMENT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def end(self) -> None:
        self._process.stdin.close()
        self._process.wait(timeout=60)


@pytest.mark.slow
def test_two_sweeps_submitted_at_once_to_two_cores_both_finish(tmp_path: Path) -> None:
    machines = Machines({"num_cpus": 2})
    try:
        drivers = [machines.sweep(tmp_path / name, 3) for name in ("a", "b")]
        answers = [driver.communicate(timeout=400) for driver in drivers]
    finally:
        machines.end()
    assert [out.split()[:2] for out, _ in answers] == [["3", "0"]] * 2, answers


@pytest.mark.slow
def test_trials_run_only_where_their_custom_resource_is_and_no_more_than_it_allows(tmp_path: Path) -> None:
    machines = Machines({"num_cpus": 2}, {"num_cpus": 2, "resources": {"site_A": 1}})
    try:
        driver = machines.sweep(tmp_path / "s", 2, cpus_per_trial=1, custom={"site_A": 1.0})
        out, err = driver.communicate(timeout=300)
    finally:
        machines.end()
    assert out.split()[:2] == ["2", "0"], err
    assert len({page.read_text() for page in (tmp_path / "s").glob("node-*")}) == 1
    spans = sorted((json.loads(page.read_text()) for page in (tmp_path / "s" / "diary").iterdir()),
                   key=lambda page: page["start"])  # fmt: skip
    assert spans[0]["end"] <= spans[1]["start"]


def test_custom_resources_and_parts_of_gpus_count_how_many_trials_fit() -> None:
    site = as_node("a", {"CPU": 16.0, "GPU": 2.0, "site_A": 3.0, "memory": 1e9})
    plain = Node(name="b", cpus=16, gpus=2)
    asked = ResourcesConfig.model_validate({"cpus_per_trial": 1, "gpus_per_trial": 0.25, "custom": {"site_A": 1}})
    assert resolve_resources(asked, [site, plain]).max_concurrent == 3
    free = ResourcesConfig.model_validate({"cpus_per_trial": 1, "gpus_per_trial": 0.3})
    found = resolve_resources(free, [site, plain])
    assert found.max_concurrent == 12  # 3 on each of four GPUs: 0.9 of it; 13 would need one on two GPUs
    assert concurrent_trials(found, [plain]) == 6
    with pytest.raises(ResourceError, match=r"and 1 site_A each.*\n.*b: has 16 core\(s\), 2 GPU\(s\) and 0 site_A"):
        resolve_resources(asked, [plain])
