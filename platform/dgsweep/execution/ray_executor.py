"""Run trials on Ray: Tune chooses when and where, and each trial is a Train run with its own worker group.

Measured on Ray 2.60: the Tune part holds no processor (Train's workers hold them, or both would deadlock), the number
of concurrent trials is always set, and Ray's checkpoints are not used: the ledger decides what is done.
"""

import logging
import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from typing import Any

import ray
from ray import tune

from dgsweep.execution.cluster import living_nodes
from dgsweep.execution.events import Listener, Run, Work
from dgsweep.execution.gate import Gate, OpenGate
from dgsweep.execution.plan_order import PlanOrder, Room
from dgsweep.execution.ray_trial import DIED, RaySchedule, Shipment, TuneTrial
from dgsweep.execution.resources import TrialResources, as_node, concurrent_trials

NO_PROCESSOR = {"CPU": 0, "memory": 1}
"""Resources of a trial's Tune part; one byte of memory, since Tune refuses a request for nothing."""

OWNER_ONLY = 0o700
PLATFORM_FAILURES = 10
"""How often a trial is placed anew whose Tune part or Train controller died: that tells nothing about the trial."""

TUNE_ENVIRONMENT = {
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # the sweep stops cleanly by itself
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # the ledger holds the results
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "RAY_AIR_NEW_OUTPUT": "0",  # the new output prints a table even when told to be silent
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "TUNE_MAX_PENDING_TRIALS_PG": "16",  # else a searcher's trials start one after the other
}


def run_on_ray(work: Work, schedule: RaySchedule, *, run: Run, listener: Listener, gate: Gate | None = None) -> None:
    """Run every job on the Ray that this process is connected to, as many at a time as fit beside what runs there.

    Args:
        work: Trials in plan order, which is the order in which they start, and those that are proposed as others end.
        schedule: Resources, failure policy and Ray's storage.
        run: Runs one trial on every rank; it must survive pickling.
        listener: Told of every start, report and end.
        gate: Says before each trial whether it may start.
    """
    if not work:
        return
    # A new folder every time: Train silently resumes from what it finds under the name of an older run.
    folder = schedule.storage / f"{time.time_ns():x}"
    schedule.storage.mkdir(parents=True, exist_ok=True)
    schedule.storage.chmod(OWNER_ONLY)  # what Ray pickles there is nobody else's to read, still less to write
    shipment = Shipment.of(work.jobs, work.templates, run, replace(schedule, storage=folder))
    # Ray prints what it wants the driver to know on standard output, which belongs to the command's own answer.
    with _environment(TUNE_ENVIRONMENT), _silent("ray.tune"), redirect_stdout(sys.stderr):
        try:
            _tuner(work, shipment, listener, gate or OpenGate()).fit()
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _tuner(work: Work, shipment: Shipment, listener: Listener, gate: Gate) -> tune.Tuner:
    schedule = shipment.schedule
    planned = [job.spec["trial_id"] for job in work.jobs]
    order = PlanOrder(planned, gate, _room(schedule.resources), more=lambda: _proposed(work, shipment))
    return tune.Tuner(
        tune.with_resources(tune.with_parameters(TuneTrial, shipment=shipment), NO_PROCESSOR),
        tune_config=tune.TuneConfig(
            search_alg=order,
            num_samples=-1,  # until the search algorithm says that there is no more
            reuse_actors=True,
            trial_name_creator=_trial_id,
            trial_dirname_creator=_trial_id,
        ),
        run_config=tune.RunConfig(
            name=schedule.sweep,
            storage_path=str(schedule.storage / "tune"),
            verbose=0,
            callbacks=[_Relay(listener, order)],
            stop=_Nobody(gate, order),
            failure_config=tune.FailureConfig(max_failures=PLATFORM_FAILURES),
        ),
    )


def _proposed(work: Work, shipment: Shipment) -> dict[str, str] | None:
    job = work.more()
    return None if job is None else shipment.config(job)


def _room(resources: TrialResources) -> Room:
    return Room(
        capacity=lambda: concurrent_trials(resources, living_nodes()),
        free=lambda: concurrent_trials(resources, [as_node("all", ray.available_resources())]),
    )


def _trial_id(trial: Any) -> str:
    return str(trial.config["trial_id"])


class _Nobody(tune.Stopper):
    """Ends the experiment once running trials were asked to stop and only those that wait for workers are left."""

    def __init__(self, gate: Gate, order: PlanOrder) -> None:
        self._gate, self._order = gate, order

    def __getstate__(self) -> dict[str, Any]:
        """Nothing, as that of the callbacks."""
        return {}

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Stop no single trial."""
        return False

    def stop_all(self) -> bool:
        """Whether nothing runs that could stop by itself."""
        return self._gate.stopping and self._order.idle


class _Relay(tune.Callback):
    """Hands Tune's events on to the listener, in the driver's process."""

    def __init__(self, listener: Listener, order: PlanOrder) -> None:
        self._listener, self._order = listener, order
        self._died: dict[str, str] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles its callbacks for a restore that is never used; the listener holds what cannot be pickled."""
        return {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Tell that a trial starts."""
        self._listener.started(_trial_id(trial))

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """Tell what a trial reports, or keep why it died until its end.

        A trial that the listener stops ends by itself, which frees its workers in order: stopped by Tune, its group
        stayed where it was, and the trial that was to take over the actor never ran (measured).
        """
        self._order.placed(_trial_id(trial))
        if cause := result.get(DIED):
            self._died[_trial_id(trial)] = cause
        elif "step" in result:
            self._listener.reported(_trial_id(trial), result)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Tell that a trial ended."""
        self._listener.finished(_trial_id(trial), self._died.get(_trial_id(trial), ""))

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Tell that Ray gave a trial up."""
        lines = str(trial.get_error() or "").strip().splitlines()
        self._listener.finished(_trial_id(trial), lines[-1] if lines else "Ray gave the trial up without a cause")


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables until the block ends."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def _silent(logger_name: str) -> Iterator[None]:
    """Keep a library's log below the level of errors until the block ends: the progress view tells what matters."""
    logger = logging.getLogger(logger_name)
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)
