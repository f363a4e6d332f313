"""What one trial holds while it runs, what the machines have, and how many trials fit at a time."""

import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dgsweep.config.schema import ResourcesConfig
from dgsweep.errors import Problems, ResourceError

MAX_CPUS_PER_GPU = 8
"""More processor cores than this per accelerator do not feed it faster."""


@dataclass(frozen=True, kw_only=True)
class Node:
    """One machine that can run workers."""

    name: str
    cpus: int
    gpus: int


@dataclass(frozen=True, kw_only=True)
class TrialResources:
    """What one trial holds while it runs, and how many trials fit on the machines at a time."""

    workers: int
    cpus_per_worker: int
    gpus_per_worker: float
    max_concurrent: int

    @property
    def threads(self) -> int:
        """Threads of each worker: the same inline and on Ray, so that numbers agree."""
        return self.cpus_per_worker

    @property
    def device(self) -> str:
        """Torch device type of the workers."""
        return "cuda" if self.gpus_per_worker else "cpu"


def this_node() -> Node:
    """Describe the machine (or container) in which this process runs."""
    import torch

    return Node(name="this machine", cpus=available_cpus(), gpus=torch.cuda.device_count())


def available_cpus(root: Path = Path("/sys/fs/cgroup")) -> int:
    """Count the processor cores that this process may use: its affinity and the quotas of its control groups.

    Args:
        root: Where the control groups are mounted.
    """
    try:
        allowed = len(os.sched_getaffinity(0))
    except AttributeError:  # not a Linux system
        allowed = os.cpu_count() or 1
    return max(1, math.floor(min([float(allowed), *_quotas(root)])))


def _quotas(root: Path) -> Iterable[float]:
    """Yield the processor quota, in cores, of each control group of this process (version 2 of the interface)."""
    try:
        own = Path("/proc/self/cgroup").read_text().split("0::/", 1)[-1].splitlines()[0]
    except (OSError, IndexError):
        own = ""
    folders = [root, *(root / Path(*Path(own).parts[: depth + 1]) for depth in range(len(Path(own).parts)))]
    for folder in folders:
        try:
            quota, period = (folder / "cpu.max").read_text().split()
        except (OSError, ValueError):
            continue
        if quota != "max":
            yield int(quota) / int(period)


def resolve_resources(wanted: ResourcesConfig, nodes: Sequence[Node]) -> TrialResources:
    """Fill in what the sweep file leaves open and count how many trials fit at a time.

    Args:
        wanted: The section `resources` of the sweep file.
        nodes: The machines, at least one.

    Raises:
        ResourceError: No machine can give a worker what the sweep file asks for, or workers cannot share it evenly.
    """
    gpus = _gpus(wanted, nodes)
    workers = wanted.workers_per_trial
    cpus = wanted.cpus_per_trial or workers * _default_worker_cpus(gpus / workers, nodes)
    _require_even_shares(workers, cpus, gpus)
    worker_cpus, worker_gpus = cpus // workers, gpus / workers
    slots = sum(_slots(node, worker_cpus, worker_gpus) for node in nodes)
    if slots < workers:
        raise _too_much(workers, worker_cpus, worker_gpus, nodes)
    return TrialResources(
        workers=workers,
        cpus_per_worker=worker_cpus,
        gpus_per_worker=worker_gpus,
        max_concurrent=slots // workers,
    )


def _gpus(wanted: ResourcesConfig, nodes: Sequence[Node]) -> float:
    if wanted.gpus_per_trial is not None:
        return wanted.gpus_per_trial
    return float(wanted.workers_per_trial) if any(node.gpus for node in nodes) else 0.0


def _default_worker_cpus(worker_gpus: float, nodes: Sequence[Node]) -> int:
    """One core a worker without accelerators; with them, what the poorest accelerator node has for each, at most 8."""
    shares = [node.cpus // node.gpus for node in nodes if node.gpus]
    if not worker_gpus or not shares:
        return 1
    return max(1, min(MAX_CPUS_PER_GPU, math.floor(min(shares) * worker_gpus)))


def _slots(node: Node, worker_cpus: int, worker_gpus: float) -> int:
    by_cpu = node.cpus // worker_cpus
    return by_cpu if not worker_gpus else min(by_cpu, math.floor(node.gpus / worker_gpus + 1e-9))


def _require_even_shares(workers: int, cpus: int, gpus: float) -> None:
    problems = Problems()
    if cpus % workers:
        problems.add(
            "resources.cpus_per_trial",
            f"{cpus} cores for {workers} workers",
            f"a multiple of {workers}, the same for each",
        )
    if gpus not in (0, workers) and not (workers == 1 and gpus < 1):
        problems.add(
            "resources.gpus_per_trial",
            f"{gpus:g} GPUs for {workers} worker(s)",
            f"0, or one GPU a worker ({workers}); with one worker also a part of a GPU, such as 0.5",
        )
    problems.raise_if_any(ResourceError, "the resources of a trial cannot be shared by its workers:")


def _too_much(workers: int, worker_cpus: int, worker_gpus: float, nodes: Sequence[Node]) -> ResourceError:
    problems = Problems()
    problems.add(
        "resources",
        f"a trial asks for {workers} worker(s) with {worker_cpus} core(s) and {worker_gpus:g} GPU(s) each",
        "lower resources.cpus_per_trial, gpus_per_trial or workers_per_trial, or run where there is more",
    )
    for node in nodes:
        problems.add(node.name, f"has {node.cpus} core(s) and {node.gpus} GPU(s)")
    return ResourceError("no machine can give a trial what it asks for:", problems)
