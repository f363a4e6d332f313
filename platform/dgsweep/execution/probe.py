"""A forecast from real steps: time, GPU-hours, disk and memory of a plan, measured on this machine."""

import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import torch
from rich.console import Console

from dgsweep.data.cache import PreprocessCache, forecast_bytes
from dgsweep.errors import DgsweepError
from dgsweep.execution.preparation import cache_folder
from dgsweep.execution.prepare import Prepared
from dgsweep.execution.resources import TrialResources, resolve_resources, this_node
from dgsweep.plan.trial import TrialSpec
from dgsweep.training.assemble import build_context
from dgsweep.training.feed import Feed
from dgsweep.training.runtime import Runtime
from dgsweep.training.scoring import score_cases, score_tasks

PROBE_STEPS = 20
WARM_UP_STEPS = 3


def probe_plan(prepared: Prepared, console: Console) -> dict[str, Any]:
    """Run 20 real steps and score one case for each method and network of the plan, then add up.

    Returns:
        `measured` rows (method, network, s_per_step, s_per_scored_case, peak_memory_gb, checkpoint_mb) and `totals`.

    Raises:
        DgsweepError: A step of a method fails; a trial of it would fail too.
    """
    resources = resolve_resources(prepared.config.resources, [this_node()])
    firsts: dict[tuple[str, str], TrialSpec] = {}
    for spec in _trained(prepared):
        firsts.setdefault((spec.method, spec.network), spec)
    measured: dict[tuple[str, str], dict[str, Any]] = {}
    for (method, network), spec in firsts.items():
        console.print(f"probing {method} on {network}: {PROBE_STEPS} steps")
        try:
            cost = _measure(spec, prepared, resources)
        except (RuntimeError, ValueError, TypeError, LookupError) as error:  # what a method or network may raise
            raise DgsweepError(f"the probe of {method} on {network} failed: {type(error).__name__}: {error}") from error
        measured[method, network] = {"method": method, "network": network, **cost}
    return {"measured": list(measured.values()), "totals": _totals(prepared, measured, resources)}


def _trained(prepared: Prepared) -> list[TrialSpec]:
    """What the probe measures: pretraining is like training, and zero-shot trials have no step."""
    return [spec for spec in prepared.plan.trials if spec.phase == "train"]


def _measure(spec: TrialSpec, prepared: Prepared, resources: TrialResources) -> dict[str, Any]:
    torch.set_num_threads(resources.threads)
    device = torch.device(resources.device)
    runtime = Runtime(device=device)
    cases = {case.info.case_id: case for case in prepared.manifest.cases}
    with tempfile.TemporaryDirectory() as folder:
        cache = PreprocessCache(Path(folder))
        train = tuple(cache.training_case(cases[n], spec.preprocessing, spec.domains[n]) for n in spec.split.train[:4])
        short = replace(spec, budget_steps=WARM_UP_STEPS + PROBE_STEPS)
        ctx = build_context(short, runtime)
        free = tuple(cache.image(cases[n], spec.preprocessing, spec.domains[n]) for n in spec.split.unlabelled[:4])
        feed = Feed(short, train, runtime, free)
        ctx.network.train()
        started = 0.0
        for step in range(short.budget_steps):
            if step == WARM_UP_STEPS:
                _wait(device)
                started = time.perf_counter()
            ctx.run_step(feed.batch(step))
        _wait(device)
        s_per_step = (time.perf_counter() - started) / PROBE_STEPS
        feed.close()
        tasks = score_tasks(spec, cases, lambda name: Path(folder) / f"{name}.nii.gz")[:1]
        started = time.perf_counter()
        for _ in score_cases(ctx, spec, tasks, cache, runtime):
            pass
        s_per_case = time.perf_counter() - started
    return {
        "s_per_step": s_per_step,
        "s_per_scored_case": s_per_case,
        "peak_memory_gb": _peak_memory_gb(device),
        "checkpoint_mb": sum(value.numel() * value.element_size() for value in ctx.network.state_dict().values()) / 1e6,
    }


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _peak_memory_gb(device: torch.device) -> float:
    """Of the accelerator where there is one, else of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    return float(psutil.Process().memory_info().rss) / 1e9


def _totals(
    prepared: Prepared, measured: dict[tuple[str, str], dict[str, Any]], resources: TrialResources
) -> dict[str, Any]:
    busy_s, checkpoints_mb = 0.0, 0.0
    weights = prepared.plan.weights()
    for spec in _trained(prepared):
        cost, weight = measured[spec.method, spec.network], weights[spec.trial_id]
        split = spec.split
        busy_s += weight * spec.budget_steps * cost["s_per_step"]
        busy_s += weight * (len(split.val) + len(split.test) + len(split.target)) * cost["s_per_scored_case"]
        checkpoints_mb += weight * cost["checkpoint_mb"]
    grids = {spec.preprocessing.spacing_mm: spec.preprocessing for spec in _trained(prepared)}
    cache_bytes = sum(forecast_bytes(list(prepared.manifest.cases), grid) for grid in grids.values())
    gpus = resources.workers * resources.gpus_per_worker
    return {
        "trials": sum(weights.values()),
        "at_a_time": resources.max_concurrent,
        "wall_h": busy_s / 3600.0 / max(1, min(resources.max_concurrent, sum(weights.values()))),
        "gpu_hours": busy_s / 3600.0 * gpus,
        "cpu_hours": busy_s / 3600.0 * resources.workers * resources.cpus_per_worker,
        "disk_gb": cache_bytes / 1e9 + checkpoints_mb / 1e3,
        "not_counted": "the start of each trial, about 10 s on Ray; pretraining; zero-shot trials",
        "cache_folder": str(cache_folder(prepared.config)),
    }
