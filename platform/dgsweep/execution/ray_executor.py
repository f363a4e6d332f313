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

from ray import tune

from dgsweep.execution.events import Listener, Run, Work
from dgsweep.execution.ray_search import Handout
from dgsweep.execution.ray_trial import DIED, RaySchedule, Shipment, tune_trial

NO_PROCESSOR = {"CPU": 0, "memory": 1}
"""Resources of a trial's Tune part; one byte of memory, since Tune refuses a request for nothing."""

TUNE_ENVIRONMENT = {
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # the sweep stops cleanly by itself
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # the ledger holds the results
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "RAY_AIR_NEW_OUTPUT": "0",  # the new output prints a table even when told to be silent
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
}


def run_on_ray(work: Work, schedule: RaySchedule, *, run: Run, listener: Listener) -> None:
    """Run every job on the Ray that this process is connected to, as many at a time as fit.

    Args:
        work: Trials in plan order, which is the order in which they start, and those that are proposed as others end.
        schedule: Resources, failure policy and Ray's storage.
        run: Runs one trial on every rank; it must survive pickling.
        listener: Told of every start, report and end.
    """
    if not work:
        return
    # A new folder every time: Train silently resumes from what it finds under the name of an older run.
    folder = schedule.storage / f"{time.time_ns():x}"
    by_id = {job.spec["trial_id"]: job for job in (*work.templates.values(), *work.jobs)}
    templates = {cell: job.spec["trial_id"] for cell, job in work.templates.items()}
    shipment = Shipment(jobs=by_id, templates=templates, run=run, schedule=replace(schedule, storage=folder))
    # Ray prints what it wants the driver to know on standard output, which belongs to the command's own answer.
    with _environment(TUNE_ENVIRONMENT), _silent("ray.tune"), redirect_stdout(sys.stderr):
        try:
            _tuner(work, shipment, listener).fit()
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _tuner(work: Work, shipment: Shipment, listener: Listener) -> tune.Tuner:
    schedule = shipment.schedule
    return tune.Tuner(
        tune.with_resources(tune.with_parameters(tune_trial, shipment=shipment), NO_PROCESSOR),
        tune_config=tune.TuneConfig(
            search_alg=Handout(work, shipment),
            num_samples=-1,  # until the search algorithm says that there is no more
            max_concurrent_trials=schedule.resources.max_concurrent,
            reuse_actors=True,
            trial_name_creator=_trial_id,
            trial_dirname_creator=_trial_id,
        ),
        run_config=tune.RunConfig(
            name=schedule.sweep,
            storage_path=str(schedule.storage / "tune"),
            verbose=0,
            callbacks=[_Relay(listener)],
            failure_config=tune.FailureConfig(max_failures=schedule.max_failures),
        ),
    )


def _trial_id(trial: Any) -> str:
    return str(trial.config["trial_id"])


class _Relay(tune.Callback):
    """Hands Tune's events on to the listener, in the driver's process."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
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
