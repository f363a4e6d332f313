"""A forecast from real steps: time, GPU-hours, disk and memory of a plan, measured where its trials will run."""

import resource
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from dgsweep.data.cache import PreprocessCache, forecast_bytes
from dgsweep.errors import DgsweepError
from dgsweep.execution.job import TrialJob
from dgsweep.execution.preparation import build_jobs, cache_folder
from dgsweep.execution.prepare import Prepared
from dgsweep.execution.resources import TrialResources, resolve_resources, this_node
from dgsweep.method.context import Context
from dgsweep.plan.trial import TrialSpec
from dgsweep.records.provenance import cpu_model
from dgsweep.training.assemble import build_context
from dgsweep.training.feed import Feed
from dgsweep.training.runtime import Runtime
from dgsweep.training.scoring import score_cases, score_tasks

PROBE_STEPS = 20
WARM_UP_STEPS = 3


def probe_plan(prepared: Prepared, console: Console, *, address: str | None = None) -> dict[str, Any]:
    """Run 20 real steps and score one case for each method and network of the plan, then add up.

    Each is measured in a process of its own with a trial's resources: on this machine, or, given the address of a Ray
    cluster, as a Ray task wherever a trial would run.

    Returns:
        `measured` rows (method, network, s_per_step, s_per_scored_case, peak_memory_gb, checkpoint_mb, device) and
        `totals`.

    Raises:
        DgsweepError: A step of a method fails; a trial of it would fail too.
        ResourceError: No machine has what a trial asks for, or the cluster cannot be reached.
    """
    if address is None:
        resources = resolve_resources(prepared.config.resources, [this_node()])
        measured = _measured(prepared, resources, console, _in_a_process)
    else:
        from dgsweep.execution.cluster import ray_session

        with ray_session(address) as nodes:
            resources = resolve_resources(prepared.config.resources, nodes)
            measured = _measured(prepared, resources, console, partial(_on_the_cluster, resources=resources))
    return {"measured": list(measured.values()), "totals": _totals(prepared, measured, resources)}


def _measured(
    prepared: Prepared, resources: TrialResources, console: Console, measure: Callable[[TrialJob], dict[str, Any]]
) -> dict[tuple[str, str], dict[str, Any]]:
    firsts: dict[tuple[str, str], TrialSpec] = {}
    for spec in _trained(prepared):
        firsts.setdefault((spec.method, spec.network), spec)
    measured: dict[tuple[str, str], dict[str, Any]] = {}
    for (method, network), spec in firsts.items():
        console.print(f"probing {method} on {network}: {PROBE_STEPS} steps")
        (job,) = build_jobs([spec], prepared.manifest, prepared.config, resources)
        try:
            cost = measure(job)
        except (RuntimeError, ValueError, TypeError, LookupError) as error:  # what a method or network may raise
            raise DgsweepError(f"the probe of {method} on {network} failed: {type(error).__name__}: {error}") from error
        measured[method, network] = {"method": method, "network": network, **cost}
    return measured


def _in_a_process(job: TrialJob) -> dict[str, Any]:
    """Measure in a fresh process, so that its memory is this method's alone."""
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as pool:
        return pool.submit(measure_job, job).result()


def _on_the_cluster(job: TrialJob, *, resources: TrialResources) -> dict[str, Any]:
    """Measure as a Ray task that holds what one worker of a trial does, in a process that ends with it."""
    import ray

    task = ray.remote(
        num_cpus=resources.cpus_per_worker,
        num_gpus=resources.gpus_per_worker,
        resources=dict(resources.custom_per_worker),
        max_calls=1,
        max_retries=0,
    )(measure_job)
    found: dict[str, Any] = ray.get(task.remote(job))
    return found


def _trained(prepared: Prepared) -> list[TrialSpec]:
    """What the probe measures: pretraining is like training, and zero-shot trials have no step."""
    return [spec for spec in prepared.plan.trials if spec.phase == "train"]


def measure_job(job: TrialJob) -> dict[str, Any]:
    """Seconds a step and a scored case, peak memory and checkpoint size of one trial, in this process."""
    torch.set_num_threads(job.threads)
    spec, device = TrialSpec.from_json(job.spec), torch.device(job.device)
    runtime = Runtime(device=device)
    with tempfile.TemporaryDirectory() as folder:
        cache = PreprocessCache(Path(folder))
        short = replace(spec, budget_steps=WARM_UP_STEPS + PROBE_STEPS)
        ctx = build_context(short, runtime)
        s_per_step = _seconds_a_step(ctx, short, job, cache, runtime)
        tasks = score_tasks(spec, job.cases, lambda name: Path(folder) / f"{name}.nii.gz")[:1]
        started = time.perf_counter()
        for _ in score_cases(ctx, spec, tasks, cache, runtime):
            pass
        s_per_case = time.perf_counter() - started
    return {
        "s_per_step": s_per_step,
        "s_per_scored_case": s_per_case,
        "peak_memory_gb": _peak_memory_gb(device),
        "checkpoint_mb": sum(value.numel() * value.element_size() for value in ctx.network.state_dict().values()) / 1e6,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_model(),
    }


def _seconds_a_step(ctx: Context, short: TrialSpec, job: TrialJob, cache: PreprocessCache, runtime: Runtime) -> float:
    grid, domains = short.preprocessing, short.domains
    train = tuple(cache.training_case(job.cases[n], grid, domains[n]) for n in short.split.train[:4])
    free = tuple(cache.image(job.cases[n], grid, domains[n]) for n in short.split.unlabelled[:4])
    feed = Feed(short, train, runtime, free)
    ctx.network.train()
    started = 0.0
    for step in range(short.budget_steps):
        if step == WARM_UP_STEPS:
            _wait(runtime.device)
            started = time.perf_counter()
        ctx.run_step(feed.batch(step))
    _wait(runtime.device)
    feed.close()
    return (time.perf_counter() - started) / PROBE_STEPS


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _peak_memory_gb(device: torch.device) -> float:
    """Of the accelerator where there is one, else of this process, which measures nothing else."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


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
        "cache_folder": str(PreprocessCache(cache_folder(prepared.config)).folder),
    }
