"""Trials on Ray: the Tune part that drives them one by one, and the Train part that runs them on every rank."""

import json
import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

import ray
import ray.train
import ray.train.torch
import ray.tune.result
from ray import tune
from ray.exceptions import RayError

from dgsweep.errors import Problem, ResourceError, TrialFailedError, TrialPrunedError, TrialStoppedError
from dgsweep.execution.attempt import SUPERSEDED
from dgsweep.execution.events import Run
from dgsweep.execution.job import TrialJob, WorkerLink
from dgsweep.execution.pulse import ASKED
from dgsweep.execution.ray_device import clear_memory, take_device
from dgsweep.execution.ray_lane import Lane, LaneOverError, Report, trials_of
from dgsweep.execution.resources import TrialResources
from dgsweep.records.ledger import Ledger
from dgsweep.records.state import PRUNED
from dgsweep.storage.files import exists, names

DIED = "died"
"""Key of the report by which the Tune part tells the driver why the workers died for good."""

PLACED = "placed"
"""Key of the first report of a trial: its workers have their resources."""

BLOCK = 64
"""Jobs that travel together: a few hundred kilobytes."""

TRAIN_ENVIRONMENT = {
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",  # saves one actor a trial
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "3600",  # else who waits loses its place every minute
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
    """How often a trial whose worker died is started again without getting further in between."""


@dataclass(frozen=True, kw_only=True)
class Shipment:
    """What travels to the trial actors, once, through the object store.

    An actor fetches the block that holds the job of its trial, not the thousands of jobs of a sweep.
    """

    blocks: Sequence[ray.ObjectRef[dict[str, TrialJob]]]
    places: Mapping[str, int]
    """trial id -> its block."""
    templates: Mapping[str, str]
    """cell id -> trial id of a job that those proposed later differ little from."""
    run: Run
    schedule: RaySchedule

    @classmethod
    def of(cls, jobs: Sequence[TrialJob], templates: Mapping[str, TrialJob], run: Run, schedule: RaySchedule) -> Self:
        """Put all jobs into the object store."""
        by_id = {job.spec["trial_id"]: job for job in (*templates.values(), *jobs)}
        ids = list(by_id)
        blocks = [ids[start : start + BLOCK] for start in range(0, len(ids), BLOCK)]
        return cls(
            blocks=[ray.put({trial_id: by_id[trial_id] for trial_id in block}) for block in blocks],
            places={trial_id: number for number, block in enumerate(blocks) for trial_id in block},
            templates={cell: job.spec["trial_id"] for cell, job in templates.items()},
            run=run,
            schedule=schedule,
        )

    def config(self, job: TrialJob) -> dict[str, str]:
        """What a trial that was proposed later is told of its job: where it differs from the template of its cell."""
        template = self._sent(self.templates[job.spec["cell_id"]]).spec
        change = {name: value for name, value in job.spec.items() if template.get(name) != value}
        return {"trial_id": job.spec["trial_id"], "template": template["trial_id"], "change": json.dumps(change)}

    def job(self, config: Mapping[str, str]) -> TrialJob:
        """Inverse of `config`; the id alone names a job that was planned."""
        if "template" not in config:
            return self._sent(config["trial_id"])
        template = self._sent(config["template"])
        return replace(template, spec={**template.spec, **json.loads(config["change"])})

    def _sent(self, trial_id: str) -> TrialJob:
        return ray.get(self.blocks[self.places[trial_id]])[trial_id]


class TuneTrial(tune.Trainable):
    """The Tune part: gives one trial after the other to a lane of Train workers. Holds no processor itself."""

    def setup(self, config: Mapping[str, str], shipment: Shipment) -> None:
        """Start with the first trial; see `tune.Trainable`."""
        os.environ.update(TRAIN_ENVIRONMENT)
        self._shipment = shipment
        self._lane: Lane | None = None
        self._reports = self._run(shipment.job(config))

    def reset_config(self, new_config: Mapping[str, str]) -> bool:
        """Go on with another trial."""
        self._reports = self._run(self._shipment.job(new_config))
        return True

    def step(self) -> Report:
        """The next report of the trial; when it is over, one that says so."""
        return {**next(self._reports, {tune.result.DONE: True})}

    def cleanup(self) -> None:
        """Send the workers home, so that what they held is free before this process ends."""
        if self._lane:
            self._lane.close()

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Save nothing: the ledger is what a restart reads."""

    def load_checkpoint(self, checkpoint: object) -> None:
        """Restore nothing."""

    def _run(self, job: TrialJob) -> Iterator[Report]:
        before = _kept(job)
        while True:
            lane, first = self._lane_for(job)
            placed = False
            try:
                for report in lane.reports():
                    placed = True
                    yield report
                return
            except LaneOverError as over:
                if not placed and not first:
                    continue  # it ended just as it was given the trial
                if not isinstance(over.__cause__, ray.train.WorkerGroupError):
                    raise
                # Days of work on nodes that come and go are no reason to give up, as long as each time gets further.
                if before < (before := _kept(job)):
                    continue
                # Train has already tried again; raising would make Tune start over, so the driver is told instead.
                yield {DIED: _cause(over.__cause__)}
                return

    def _lane_for(self, job: TrialJob) -> tuple[Lane, bool]:
        """A lane that has taken the trial, and whether it is a new one."""
        if self._lane and self._lane.takes(job):
            return self._lane, False
        self._lane = Lane(lambda desk: _trainer(desk, self._shipment))
        if not self._lane.takes(job):
            raise LaneOverError("a new lane took no trial")
        return self._lane, True


def _kept(job: TrialJob) -> float:
    """When the trial last kept something from which it can go on (checkpoint or scores); 0 when it never did."""
    folder = Ledger(job.output).paths(job.spec["trial_id"]).checkpoint
    kept = [folder / name for name in names(folder) if not name.startswith(".")]
    return max((file.stat().st_mtime for file in kept), default=0.0)


def _trainer(desk: Any, shipment: Shipment) -> ray.train.torch.TorchTrainer:
    schedule, resources = shipment.schedule, shipment.schedule.resources
    return ray.train.torch.TorchTrainer(
        train_loop,
        train_loop_config={"desk": desk, "run": shipment.run, "sweep": schedule.sweep},
        scaling_config=ray.train.ScalingConfig(
            num_workers=resources.workers,
            use_gpu=resources.gpus_per_worker > 0,
            resources_per_worker=_worker_resources(resources),
        ),
        run_config=ray.train.RunConfig(
            name=f"{schedule.sweep}-{uuid4().hex}",  # Train goes on with what it finds under a name
            storage_path=str(schedule.storage / "train"),
            failure_config=ray.train.FailureConfig(max_failures=schedule.max_failures),
        ),
    )


def _worker_resources(resources: TrialResources) -> dict[str, float]:
    share: dict[str, float] = {"CPU": resources.cpus_per_worker}
    if resources.gpus_per_worker:
        share["GPU"] = resources.gpus_per_worker
    return {**share, **resources.custom_per_worker}


def _cause(failure: ray.train.WorkerGroupError) -> str:
    """Name each rank's error in one line."""
    errors = sorted(failure.worker_failures.items())
    return "; ".join(f"rank {rank}: {_one_line(error)}" for rank, error in errors) or _one_line(failure)


def _one_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[-1]}" if lines else type(error).__name__


def train_loop(config: Mapping[str, Any]) -> None:
    """Run trials on this rank as long as some come. Runs in a Train worker."""
    desk, run = config["desk"], config["run"]
    context = ray.train.get_context()
    rank, ranks = context.get_world_rank(), context.get_world_size()
    for job in trials_of(desk, rank):
        _require_same_folder(job, config["sweep"])
        link = WorkerLink(rank=rank, world_size=ranks, report=_reporter(job, desk, rank), own_process=True)
        _run_one(job, link, run)
        if rank == 0:
            ray.get(desk.end.remote(last=_broke(job)))
        clear_memory(job)


def _broke(job: TrialJob) -> bool:
    """Whether the trial failed, by which its process may have suffered. Stopped by the scheduler it did not."""
    return bool(Ledger(job.output).failure(job.spec["trial_id"]).get("kind", PRUNED) != PRUNED)


def _run_one(job: TrialJob, link: WorkerLink, run: Run) -> None:
    """Run one trial on this rank.

    A trial that failed by itself, or was pruned, stands so in the ledger, and to do it again would end alike: with one
    rank this just returns. With several, or where the ledger could not be written, the error is passed on, since the
    others may wait for this rank in a collective; Train then stops all of them, and the group that it starts again
    finds the note in the ledger and returns.
    """
    if Ledger(job.output).failure(job.spec["trial_id"]):  # the driver cleared those of earlier runs
        return
    link.report({PLACED: 1})
    try:
        take_device(job)
        run(job, link)
    except TrialStoppedError as stop:
        if stop.reason != ASKED:
            raise  # only this node goes away: Train starts the trial again on another
    except TrialFailedError as failure:
        if failure.kind == SUPERSEDED:
            return
        if link.world_size > 1 or not Ledger(job.output).failure(job.spec["trial_id"]):
            raise


def _require_same_folder(job: TrialJob, sweep: str) -> None:
    """Refuse a node on which the output is another folder: results would stay there, where nobody looks for them.

    Raises:
        ResourceError: The folder does not hold the sweep's name, or holds that of another sweep.
    """
    known = Ledger(job.output).files.sweep_id
    found = known.read_text(encoding="ascii").strip() if exists(known) else ""
    if found != sweep:
        problem = Problem(
            where=f"{job.output} on node {socket.gethostname()}",
            found="another sweep's folder" if found else "not the folder that the driver writes to",
            fix="mount the shared disk at the same path on every node",
        )
        raise ResourceError("the output is not shared by all nodes:", [problem])


def _reporter(job: TrialJob, desk: Any, rank: int) -> Callable[[Mapping[str, float | int | str]], None]:
    """Reports go to the driver, whose answer is in the ledger by the next report (and for a real trial, sooner)."""
    ledger, trial_id = Ledger(job.output), job.spec["trial_id"]

    def report(values: Mapping[str, float | int | str]) -> None:
        if job.prunable and values.get("phase") == "train" and ledger.is_pruned(trial_id):
            raise TrialPrunedError
        if rank == 0:
            try:
                ray.get(desk.tell.remote(dict(values)))
            except RayError as gone:  # which says nothing about the trial: it goes on in other processes
                raise TrialStoppedError("its Tune part is gone") from gone

    return report
