"""What one trial holds while it runs, what the machines have, and how many trials fit at a time."""

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from dgsweep.config.limits import ResourcesConfig
from dgsweep.errors import Problems, ResourceError

MAX_CPUS_PER_GPU = 8
"""More processor cores than this per accelerator do not feed it faster."""


@dataclass(frozen=True, kw_only=True)
class Node:
    """One machine that can run workers."""

    name: str
    cpus: int
    gpus: int
    custom: Mapping[str, float] = field(default_factory=dict)
    """Ray's custom resources."""


@dataclass(frozen=True, kw_only=True)
class TrialResources:
    """What one trial holds while it runs, and how many trials fit on the machines at a time."""

    workers: int
    cpus_per_worker: int
    gpus_per_worker: float
    max_concurrent: int
    custom_per_worker: Mapping[str, float] = field(default_factory=dict)

    @property
    def threads(self) -> int:
        """Threads of each worker: the same inline and on Ray, so that numbers agree."""
        return self.cpus_per_worker

    @property
    def device(self) -> str:
        """Torch device type of the workers."""
        return "cuda" if self.gpus_per_worker else "cpu"


def as_node(name: str, resources: Mapping[str, float]) -> Node:
    """A machine, from what Ray says that it has."""
    custom = {key: value for key, value in resources.items() if key not in ("CPU", "GPU")}
    return Node(name=name, cpus=int(resources.get("CPU", 0)), gpus=int(resources.get("GPU", 0)), custom=custom)


def concurrent_trials(resources: TrialResources, nodes: Sequence[Node]) -> int:
    """How many trials fit on machines at a time."""
    return sum(_slots(node, resources) for node in nodes) // resources.workers


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
    asked = TrialResources(
        workers=workers,
        cpus_per_worker=worker_cpus,
        gpus_per_worker=worker_gpus,
        max_concurrent=1,
        custom_per_worker=dict(wanted.custom),
    )
    fitting = concurrent_trials(asked, nodes)
    if not fitting:
        raise _too_much(asked, nodes)
    return replace(asked, max_concurrent=fitting)


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


def _slots(node: Node, asked: TrialResources) -> int:
    """Workers that fit on a machine; a share of an accelerator does not reach over two of them."""
    found = [node.cpus // asked.cpus_per_worker]
    if asked.gpus_per_worker:
        share = asked.gpus_per_worker
        found.append(node.gpus * math.floor(1 / share + 1e-9) if share < 1 else math.floor(node.gpus / share + 1e-9))
    found += [math.floor(node.custom.get(key, 0.0) / each + 1e-9) for key, each in asked.custom_per_worker.items()]
    return min(found)


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


def _too_much(asked: TrialResources, nodes: Sequence[Node]) -> ResourceError:
    problems = Problems()
    custom = "".join(f" and {each:g} {key}" for key, each in asked.custom_per_worker.items())
    problems.add(
        "resources",
        f"a trial asks for {asked.workers} worker(s) with {asked.cpus_per_worker} core(s) and "
        f"{asked.gpus_per_worker:g} GPU(s){custom} each",
        "lower resources.cpus_per_trial, gpus_per_trial, workers_per_trial or custom, or run where there is more",
    )
    for node in nodes:
        others = [f"{node.custom.get(key, 0.0):g} {key}" for key in asked.custom_per_worker]
        had = [f"{node.cpus} core(s)", f"{node.gpus} GPU(s)", *others]
        problems.add(node.name, f"has {', '.join(had[:-1])} and {had[-1]}")
    return ResourceError("no machine can give a trial what it asks for:", problems)
