"""Start a local Ray or join a running one, and make sure that every node runs the same dgsweep."""

import os
import signal
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import ray
from ray.exceptions import RayError, TaskUnschedulableError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from dgsweep import __version__
from dgsweep.errors import InputError, Problem, Problems, ResourceError
from dgsweep.execution.open_cluster import (
    AUTH_VARIABLE,
    require_closed,
    require_token_mode,
    use_token_if_there_is_one,
)
from dgsweep.execution.ray_job import inside_ray_job
from dgsweep.execution.resources import Node, as_node, available_cpus

OBJECT_STORE_BYTES = 256 * 2**20
"""Only specs pass through the object store; scans are read from the cache on disk."""

VERSION_TIMEOUT_S = 120.0
GONE = "gone"
CONNECT_TIMEOUT_S = 10.0

ADDRESS_VARIABLE = "RAY_ADDRESS"


@contextmanager
def ray_session(address: str | None, *, verbose: bool = False, allow_open: bool = False) -> Iterator[list[Node]]:
    """Connect to Ray until the block ends and give its nodes; a connection that is already open is used and kept.

    Args:
        address: `auto` or `host:port` of a running cluster; None joins the cluster of the submitted job (or of
            RAY_ADDRESS) in which this process runs, and otherwise starts Ray on this machine.
        verbose: Show Ray's own log and what workers print.
        allow_open: Use a Ray that lets everybody in the network run code.

    Raises:
        ResourceError: The cluster cannot be reached or has no living node.
        InputError: A node of a running cluster has no dgsweep or another version of it, or Ray is open to the network.
    """
    if ray.is_initialized():
        yield living_nodes()
        return
    address = address or _ambient_address()
    if address is None and not allow_open:
        require_token_mode(os.environ)
    try:
        with _sigterm_kept():
            dashboard = _connect(address, verbose=verbose)
        if not allow_open:
            require_closed(dashboard)
        if address:
            require_same_version(ray.nodes())
        yield living_nodes()
    finally:
        ray.shutdown()


def living_nodes() -> list[Node]:
    """Describe the living nodes of the cluster that this process is connected to.

    Raises:
        ResourceError: There is none.
    """
    nodes = [as_node(f"node {node['NodeManagerAddress']}", node["Resources"]) for node in ray.nodes() if node["Alive"]]
    if not nodes:
        raise ResourceError("the Ray cluster has no living node; start one with `ray start --head`")
    return nodes


def _ambient_address() -> str | None:
    return "auto" if os.environ.get(ADDRESS_VARIABLE) or inside_ray_job() else None


def _connect(address: str | None, *, verbose: bool) -> str:
    """Start or join Ray and tell where its dashboard is; its log is silent unless `verbose`."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    quiet: dict[str, Any] = {"log_to_driver": verbose, "logging_level": "INFO" if verbose else "ERROR"}
    if address is None:
        started = ray.init(
            address="local",  # never joins a cluster whose address a killed run left behind
            num_cpus=available_cpus(),
            object_store_memory=OBJECT_STORE_BYTES,
            include_dashboard=True,  # without it a stopped trial keeps its placement group (measured)
            **quiet,
        )
        return str(started.dashboard_url or "")
    _require_answer(os.environ.get(ADDRESS_VARIABLE, address) if address == "auto" else address)
    use_token_if_there_is_one()
    try:
        return str(ray.init(address=address, **quiet).dashboard_url or "")
    except (ConnectionError, RuntimeError, ValueError, RayError) as failure:
        raise _unreachable(address, failure) from failure


def _require_answer(address: str) -> None:
    """Raise ResourceError unless `address` is `auto`, or `host:port` where something listens; Ray tries for minutes."""
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or "/" in host:
        raise _unreachable(address, ValueError("expected `auto` or `host:port` (the port of `ray start`, often 6379)"))
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_TIMEOUT_S).close()
    except (OSError, OverflowError) as failure:
        raise _unreachable(address, failure) from failure


@contextmanager
def _sigterm_kept() -> Iterator[None]:
    """Undo what `ray.init` does to SIGTERM, so that the sweep can stop cleanly."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


def _unreachable(address: str, failure: BaseException) -> ResourceError:
    lines = str(failure).strip().splitlines()
    return ResourceError(
        "the Ray cluster cannot be joined:",
        [
            Problem(
                where=f"address {address}",
                found=lines[0] if lines else type(failure).__name__,
                fix="check that `ray status` answers there, that Python and Ray have the same versions on both sides, "
                f"and {AUTH_VARIABLE} too (token: the same ~/.ray/auth_token; or disabled on both)",
            )
        ],
    )


def require_same_version(nodes: Sequence[Mapping[str, Any]]) -> None:
    """Refuse a cluster on which a living node would run another dgsweep than the one that planned the sweep.

    Args:
        nodes: As `ray.nodes()` gives them.

    Raises:
        InputError: A node has no dgsweep, or another version, or does not answer in time.
    """
    living = [node for node in nodes if node["Alive"]]
    task = _version_task()
    answers = [task.options(scheduling_strategy=_exactly(node["NodeID"])).remote() for node in living]
    ray.wait(answers, num_returns=len(answers), timeout=VERSION_TIMEOUT_S)
    problems = Problems()
    for node, answer in zip(living, answers, strict=True):
        found = _answer(answer)
        if found not in {__version__, GONE}:
            problems.add(
                f"node {node['NodeManagerAddress']}",
                found if " " in found else f"dgsweep {found}",
                f"dgsweep {__version__}: install it there, or send it along: `dgsweep submit --wheel auto`",
            )
    problems.raise_if_any(InputError, f"every node must run dgsweep {__version__}, as this driver does:")


def _exactly(node_id: str) -> NodeAffinitySchedulingStrategy:
    return NodeAffinitySchedulingStrategy(node_id, soft=False)


def _version_task() -> Any:
    """Build the task that tells a node's version; a nested function travels by value, so it runs without dgsweep."""

    def version() -> str:
        import importlib

        try:
            return str(importlib.import_module("dgsweep").__version__)
        except (ImportError, AttributeError) as failure:
            return f"dgsweep cannot be imported ({failure})"

    return ray.remote(num_cpus=0, max_retries=0)(version)


def _answer(answer: Any) -> str:
    try:
        return str(ray.get(answer, timeout=1.0))
    except TaskUnschedulableError:  # it died after Ray had listed it: nothing will run there
        return GONE
    except RayError as failure:
        return f"no answer within {VERSION_TIMEOUT_S:.0f} s ({type(failure).__name__})"
