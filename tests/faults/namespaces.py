"""Two Ray nodes that cannot tell that they share a machine: a network namespace with an address for each."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import pytest
from fault_cluster import environment

HEAD, NODE = 1, 2
PORT = 6391


class Namespaces:
    """A head without processors at 10.77.0.1 and a node of one processor at 10.77.0.2, joined by a virtual cable.

    Args:
        hidden: folders in whose place the node sees an empty disk of its own.
        nodes: how many nodes beside the head.
        variables: environment of every process of the cluster.
    """

    def __init__(self, *, hidden: Sequence[Path] = (), nodes: int = 1, **variables: str) -> None:
        self._hidden = hidden
        self._nodes = nodes
        self._variables = environment(**variables)
        self._name = f"f{os.getpid()}"
        self._folder = tempfile.TemporaryDirectory(prefix="f", dir="/tmp", ignore_cleanup_errors=True)  # short: sockets
        self._started: list[subprocess.Popen[bytes]] = []

    @property
    def address(self) -> str:
        return f"10.77.0.1:{PORT}"

    @property
    def head(self) -> list[str]:
        """What a command is started with to run on the head."""
        return self._within(HEAD)

    def __enter__(self) -> Self:
        if os.geteuid() or not self._wired():
            pytest.skip("network namespaces need root and iproute2")
        ray = [str(Path(sys.executable).parent / "ray"), "start", "--block", "--disable-usage-stats"]
        head = ["--head", f"--port={PORT}", "--num-cpus=0", f"--temp-dir={self._folder.name}/r"]
        self._start(HEAD, [*ray, *head, "--node-ip-address=10.77.0.1", "--object-store-memory=100000000"])
        self._wait(1)
        for number in range(NODE, NODE + self._nodes):
            joined = [*ray, f"--address={self.address}", f"--node-ip-address=10.77.0.{number}", "--num-cpus=1",
                      "--object-store-memory=100000000"]  # fmt: skip
            mounts = " && ".join([f"mount -t tmpfs tmpfs '{folder}'" for folder in self._hidden] or ["true"])
            self._start(number, ["sh", "-c", f'{mounts} && exec "$@"', "sh", *joined])
        self._wait(1 + self._nodes)
        return self

    def __exit__(self, *_: object) -> None:
        for number in self._numbers():
            pids = subprocess.run(
                ["ip", "netns", "pids", self._space(number)], capture_output=True, text=True, check=False
            )
            for pid in map(int, pids.stdout.split()):
                os.kill(pid, signal.SIGKILL)
        for process in self._started:
            process.wait(30)
        for number in self._numbers():
            subprocess.run(["ip", "netns", "del", self._space(number)], check=False)
        self._folder.cleanup()

    def cut(self, number: int) -> None:
        """Pull the cable of a node; its processes live on."""
        self._ip("-n", self._space(number), "link", "set", "eth0", "down")

    def join(self, number: int) -> None:
        """Plug it in again."""
        self._ip("-n", self._space(number), "link", "set", "eth0", "up")

    def pids(self, number: int) -> list[int]:
        """Processes of a node."""
        return [int(pid) for pid in self._ip("netns", "pids", self._space(number)).split()]

    def _wired(self) -> bool:
        """One namespace a node, all on a bridge in a namespace of its own, so that this machine's network stays."""
        try:
            hub = self._space(0)
            self._ip("netns", "add", hub)
            self._ip("-n", hub, "link", "add", "hub", "type", "bridge")
            self._ip("-n", hub, "link", "set", "hub", "up")
            for number in range(HEAD, NODE + self._nodes):
                space, cable = self._space(number), f"{self._name}-{number}"
                self._ip("netns", "add", space)
                self._ip("-n", hub, "link", "add", f"p{number}", "type", "veth", "peer", "name", cable)
                self._ip("-n", hub, "link", "set", f"p{number}", "master", "hub", "up")
                self._ip("-n", hub, "link", "set", cable, "netns", space)
                self._ip("-n", space, "link", "set", cable, "name", "eth0")
                self._ip("-n", space, "addr", "add", f"10.77.0.{number}/24", "dev", "eth0")
                self._ip("-n", space, "link", "set", "eth0", "up")
                self._ip("-n", space, "link", "set", "lo", "up")
        except (OSError, subprocess.CalledProcessError):
            return False
        return True

    def _numbers(self) -> range:
        return range(NODE + self._nodes)

    def _space(self, number: int) -> str:
        return f"{self._name}-{number}"

    def _within(self, number: int) -> list[str]:
        return ["ip", "netns", "exec", self._space(number)]

    def _ip(self, *arguments: str) -> str:
        return subprocess.run(["ip", *arguments], capture_output=True, text=True, check=True).stdout

    def _start(self, number: int, command: list[str]) -> None:
        with Path(self._folder.name, f"node-{number}.log").open("ab") as log:
            started = subprocess.Popen(
                [*self._within(number), *command], env=self._variables, stdout=log, stderr=log, start_new_session=True
            )
        self._started.append(started)

    def _wait(self, nodes: int, timeout_s: float = 120.0) -> None:
        """Until so many nodes are in the cluster."""
        code = (
            "import ray; ray.init(address='auto', log_to_driver=False, logging_level='ERROR');"
            "print('alive', sum(node['Alive'] for node in ray.nodes()))"
        )
        end, told = time.monotonic() + timeout_s, ""
        while time.monotonic() < end:
            asked = subprocess.run(
                [*self.head, sys.executable, "-c", code], capture_output=True, text=True, check=False,
                env={**self._variables, "RAY_ADDRESS": self.address},
            )  # fmt: skip
            told = asked.stdout + asked.stderr
            if f"alive {nodes}" in told:
                return
            time.sleep(1)
        logs = "\n".join(path.read_text()[-1500:] for path in Path(self._folder.name).glob("node-*.log"))
        raise TimeoutError(f"no {nodes} nodes: {told[-500:]}\n{logs}")
