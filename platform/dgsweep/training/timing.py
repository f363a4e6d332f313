"""How long a backbone takes for one patch: the mean of many forward passes, as papers time inference."""

import platform
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from dgsweep.errors import InputError, Problem, Problems, ResourceError
from dgsweep.method.catalog import load_implementation, network_declaration
from dgsweep.networks.base import NetworkTask
from dgsweep.networks.builder import build_network, count_parameters
from dgsweep.networks.counting import cost

WARM_UP = 3
"""Passes before the clock starts: the first ones choose kernels and fill caches."""
MOST_RUNS = 100_000


@dataclass(frozen=True, kw_only=True)
class Timing:
    """What one patch costs at inference: batch 1, float32, no sliding window; built as for training."""

    name: str
    options: Mapping[str, Any]
    patch: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    classes: int
    parameters: int
    flops: int
    """In multiply-accumulates, see `networks.counting.FLOPS_MEAN`."""
    mean_s: float
    sd_s: float
    """Of single passes; 0 of one pass."""
    median_s: float
    runs: int
    device: str
    threads: int
    """Of the processor; what a GPU is fed by."""


def time_network(name: str, task: NetworkTask, *, runs: int, device: str = "auto") -> Timing:
    """Build a backbone with random weights and time `runs` forward passes of one random patch.

    Raises:
        InputError: `runs` is no count.
        MethodError: no such backbone.
        ResourceError: there is no such device.
    """
    _check_runs(runs)
    place = torch_device(device)
    declaration = network_declaration(name)
    network = build_network(declaration, load_implementation(declaration), task, seed=0)
    flops, parameters = cost(network, task).flops, count_parameters(network)
    network.to(place).eval()
    image = torch.randn(1, task.in_channels, *task.patch, generator=torch.Generator().manual_seed(0)).to(place)
    seconds = []
    with torch.inference_mode():
        for index in range(WARM_UP + runs):
            started = _now(place)
            network(image)
            if index >= WARM_UP:
                seconds.append(_now(place) - started)
    return Timing(
        name=name,
        options=dict(task.options),
        patch=task.patch,
        spacing_mm=task.spacing_mm,
        classes=task.n_classes,
        parameters=parameters,
        flops=flops,
        mean_s=statistics.fmean(seconds),
        sd_s=statistics.stdev(seconds) if runs > 1 else 0.0,
        median_s=statistics.median(seconds),
        runs=runs,
        device=_device_name(place),
        threads=torch.get_num_threads(),
    )


def torch_device(name: str) -> torch.device:
    """`auto` (a GPU where there is one), `cpu` or `cuda`.

    Raises:
        ResourceError: there is no such device here.
    """
    has_gpu = torch.cuda.is_available()
    if name not in ("auto", "cpu", "cuda") or (name == "cuda" and not has_gpu):
        problem = Problem(where="--device", found=name, fix=f"auto, cpu{', cuda' if has_gpu else ' (no GPU is here)'}")
        raise ResourceError("no such device", [problem])
    return torch.device("cuda" if has_gpu and name != "cpu" else "cpu")


def _check_runs(runs: int) -> None:
    problems = Problems()
    if not 1 <= runs <= MOST_RUNS:
        problems.add("--runs", f"found {runs}", f"1 to {MOST_RUNS} passes")
    problems.raise_if_any(InputError, "nothing can be timed")


def _now(device: torch.device) -> float:
    """Seconds, when everything that was sent to a GPU is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU ({platform.machine()})"
