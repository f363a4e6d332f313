"""One trial on Ray: the Tune part that drives it, and the Train part that runs on every rank."""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ray.train
import ray.train.torch
from ray import tune
from ray.tune.integration.ray_train import TuneReportCallback

from dgsweep.errors import TrialFailedError, TrialPrunedError
from dgsweep.execution.events import Run
from dgsweep.execution.job import TrialJob, WorkerLink
from dgsweep.execution.resources import TrialResources
from dgsweep.records.ledger import Ledger

DIED = "died"
"""Key of the report by which the Tune part tells the driver why the workers died for good."""

TRAIN_ENVIRONMENT = {
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",  # saves one actor a trial
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",  # 2.0 costs two seconds a trial
}


@dataclass(frozen=True, kw_only=True)
class RaySchedule:
    """How trials are placed on Ray."""

    sweep: str
    storage: Path
    """Absolute folder for Ray's own state; on a cluster every node must see it. Emptied when the sweep ends."""
    resources: TrialResources
    max_failures: int
    """How often a trial whose worker died is started again."""


@dataclass(frozen=True, kw_only=True)
class Shipment:
    """What travels to the trial actors, once, through the object store."""

    jobs: Mapping[str, TrialJob]
    templates: Mapping[str, str]
    """cell id -> key in `jobs` of a job that those proposed later differ little from."""
    run: Run
    schedule: RaySchedule

    def config(self, job: TrialJob) -> dict[str, str]:
        """What a trial that was proposed later is told of its job: where it differs from the template of its cell."""
        template = self.jobs[self.templates[job.spec["cell_id"]]].spec
        change = {name: value for name, value in job.spec.items() if template.get(name) != value}
        return {"trial_id": job.spec["trial_id"], "template": template["trial_id"], "change": json.dumps(change)}

    def job(self, config: Mapping[str, str]) -> TrialJob:
        """Inverse of `config`; the id alone names a job that was planned."""
        if "template" not in config:
            return self.jobs[config["trial_id"]]
        template = self.jobs[config["template"]]
        return replace(template, spec={**template.spec, **json.loads(config["change"])})


def tune_trial(config: Mapping[str, str], shipment: Shipment) -> None:
    """Start the Train worker group of one trial and wait for it. Runs in Tune's actor, which holds no processor."""
    os.environ.update(TRAIN_ENVIRONMENT)
    try:
        _trainer(shipment.job(config), shipment).fit()
    except ray.train.WorkerGroupError as failure:
        # Train has already tried again; raising would make Tune start over, so the driver is told instead.
        tune.report({DIED: _cause(failure)})


def _trainer(job: TrialJob, shipment: Shipment) -> ray.train.torch.TorchTrainer:
    schedule, resources = shipment.schedule, shipment.schedule.resources
    return ray.train.torch.TorchTrainer(
        train_loop,
        train_loop_config={"job": job, "run": shipment.run},
        scaling_config=ray.train.ScalingConfig(
            num_workers=resources.workers,
            use_gpu=resources.gpus_per_worker > 0,
            resources_per_worker=_worker_resources(resources),
        ),
        run_config=ray.train.RunConfig(
            name=f"{schedule.sweep}-{job.spec['trial_id']}",
            storage_path=str(schedule.storage / "train"),
            callbacks=[TuneReportCallback()],
            failure_config=ray.train.FailureConfig(max_failures=schedule.max_failures),
        ),
    )


def _worker_resources(resources: TrialResources) -> dict[str, float]:
    share: dict[str, float] = {"CPU": resources.cpus_per_worker}
    return {**share, "GPU": resources.gpus_per_worker} if resources.gpus_per_worker else share


def _cause(failure: ray.train.WorkerGroupError) -> str:
    """Name each rank's error in one line."""
    errors = sorted(failure.worker_failures.items())
    return "; ".join(f"rank {rank}: {_one_line(error)}" for rank, error in errors) or _one_line(failure)


def _one_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[-1]}" if lines else type(error).__name__


def train_loop(config: Mapping[str, Any]) -> None:
    """Run the trial on this rank. Runs in a Train worker.

    A trial that failed by itself, or was pruned, stands so in the ledger, and to do it again would end alike: with one
    rank this just returns. With several the error is passed on, since the others may wait for this rank in a
    collective; Train then stops all of them, and the group that it starts again finds the note in the ledger and
    returns.
    """
    job: TrialJob = config["job"]
    run: Run = config["run"]
    if Ledger(job.output).failure(job.spec["trial_id"]):  # the driver cleared those of earlier runs
        return
    context = ray.train.get_context()
    link = WorkerLink(rank=context.get_world_rank(), world_size=context.get_world_size(), report=_reporter(job))
    try:
        _take_device(job.device)
        run(job, link)
    except TrialFailedError:
        if link.world_size > 1:
            raise


def _take_device(device: str) -> None:
    """Make the accelerator that Train gave to this rank the current one."""
    if device == "cuda":
        import torch

        torch.cuda.set_device(ray.train.torch.get_device())


def _reporter(job: TrialJob) -> Callable[[Mapping[str, float | int | str]], None]:
    """Reports go to the driver, whose answer is in the ledger by the next report (and for a real trial, sooner)."""
    ledger, trial_id = Ledger(job.output), job.spec["trial_id"]

    def report(values: Mapping[str, float | int | str]) -> None:
        if job.prunable and values.get("phase") == "train" and ledger.is_pruned(trial_id):
            raise TrialPrunedError
        ray.train.report(dict(values))

    return report
