"""A real Ray cluster of several raylets on this machine whose processes can be found and killed one by one."""

import os
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import psutil
from ray.cluster_utils import Cluster

WORKER = "ray::RayTrainWorker"
CONTROLLER = "ray::TrainController"
TUNE_PART = ("ray::ResourceTrainable", "ray::TuneTrial", "ray::bundle_reservation")
DESK = "ray::Desk"
TRIES = 5
STEP_LOG = Path(__file__).parent / "step_log"

# For both sides: a cluster of one machine and one user. Never set in this process, since other tests authenticate
OPEN = {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS": "0"}


def environment(**more: str) -> dict[str, str]:
    """What raylets, workers and drivers are started with: our code, one thread, the method that notes its steps."""
    paths = [str(STEP_LOG), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    plain = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    return {**plain, **OPEN, "PYTHONPATH": os.pathsep.join(filter(None, paths)), "OMP_NUM_THREADS": "1", **more}


class FaultCluster:
    """A head without processors and raylets of one processor each, all children of this process.

    Args:
        raylets: how many.
        variables: environment of every process of the cluster.
    """

    def __init__(self, raylets: int = 2, **variables: str) -> None:
        self._variables = environment(**variables)
        self._raylets = raylets
        self._folder = tempfile.TemporaryDirectory(prefix="f", dir="/tmp", ignore_cleanup_errors=True)  # short: sockets
        self._cluster: Any = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill_everything()
        self._folder.cleanup()

    @property
    def address(self) -> str:
        return str(self._cluster.address)

    def start(self) -> None:
        """Start head and raylets anew."""
        self._cluster = self._patiently(self._head)
        for _ in range(self._raylets):
            self.add_raylet()

    def add_raylet(self) -> None:
        self._patiently(lambda: self._cluster.add_node(num_cpus=1, object_store_memory=100 * 2**20))

    def _head(self) -> Cluster:
        return Cluster(
            initialize_head=True,
            head_node_args={
                "num_cpus": 0, "include_dashboard": True, "dashboard_port": _free_port(),
                "object_store_memory": 100 * 2**20, "temp_dir": self._folder.name,
            },
        )  # fmt: skip

    def _patiently(self, start: Callable[[], Any]) -> Any:
        """Ray gives a node 30 s to start, which a busy machine may not have."""
        for left in range(TRIES - 1, -1, -1):
            before = {process.pid for process in psutil.Process().children()}
            try:
                with _environ(self._variables):
                    return start()
            except Exception:  # Ray raises a bare one
                if not left:
                    raise
                for process in psutil.Process().children():
                    if process.pid not in before:
                        _kill(process)
                if self._cluster is not None:
                    self._cluster.worker_nodes = {node for node in self._cluster.worker_nodes if _is_alive(node)}
        raise AssertionError

    def raylets(self) -> list[int]:
        """Process ids of the raylets that have a processor."""
        return sorted(_raylet_pid(node) for node in self._cluster.worker_nodes)

    def kill_raylet(self, pid: int, number: int = signal.SIGKILL) -> None:
        """kill -9 of one raylet (or SIGTERM, as a preempted node gets); its workers notice and end by themselves."""
        (node,) = [node for node in self._cluster.worker_nodes if _raylet_pid(node) == pid]
        os.kill(pid, number)
        psutil.wait_procs([psutil.Process(pid)] if psutil.pid_exists(pid) else [], timeout=20)
        self._cluster.remove_node(node, allow_graceful=False)

    def gcs(self) -> int:
        return int(self._cluster.head_node.all_processes["gcs_server"][0].process.pid)

    def nodes(self) -> list[Any]:
        return [self._cluster.head_node, *self._cluster.worker_nodes]

    def kill_everything(self) -> None:
        """kill -9 of every process of the cluster, as a power cut does."""
        if self._cluster is None:
            return
        mine = [process for node in self.nodes() for pid in _node_pids(node) for process in _tree(pid)]
        for process in mine:
            _kill(process)
        psutil.wait_procs(mine, timeout=10)
        for node in [*self._cluster.worker_nodes, self._cluster.head_node]:
            self._cluster.remove_node(node, allow_graceful=False)
        self._cluster.shutdown()
        self._cluster = None

    def actors(self, *titles: str) -> list[psutil.Process]:
        """Living processes of this cluster whose title starts so."""
        if self._cluster is None:
            return []
        roots = [pid for node in self.nodes() for pid in _node_pids(node)]
        found = [process for root in roots for process in _tree(root) if _title(process).startswith(titles)]
        return sorted(found, key=lambda process: process.pid)

    def wait_for_actor(self, *titles: str, timeout_s: float = 120.0) -> psutil.Process:
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            if found := self.actors(*titles):
                return found[0]
            time.sleep(0.2)
        raise TimeoutError(f"no process {titles} within {timeout_s:.0f} s")


def _is_alive(node: Any) -> bool:
    return all(info.process.poll() is None for info in node.all_processes["raylet"])


def _raylet_pid(node: Any) -> int:
    return int(node.all_processes["raylet"][0].process.pid)


def _node_pids(node: Any) -> list[int]:
    return [info.process.pid for infos in node.all_processes.values() for info in infos]


def _tree(pid: int) -> Iterator[psutil.Process]:
    try:
        root = psutil.Process(pid)
        yield from (root, *root.children(recursive=True))
    except psutil.NoSuchProcess:
        return


def _title(process: psutil.Process) -> str:
    try:
        return "" if process.status() == psutil.STATUS_ZOMBIE else " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _kill(process: psutil.Process) -> None:
    with suppress(psutil.NoSuchProcess):
        process.kill()


@contextmanager
def _environ(wanted: dict[str, str]) -> Iterator[None]:
    """Ray hands its own environment on to what it starts."""
    before = dict(os.environ)
    os.environ.update(wanted)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
