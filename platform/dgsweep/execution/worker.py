"""Runs one trial on one worker: cache, training, prediction, scores, record. The same code inline and on Ray."""

import os
import traceback
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pandas as pd
import SimpleITK
import torch

from dgsweep.data.cache import CachedCase, PreprocessCache
from dgsweep.errors import TrialFailedError, TrialPrunedError, TrialStoppedError
from dgsweep.execution.attempt import SUPERSEDED, Attempt
from dgsweep.execution.caps import Holding
from dgsweep.execution.disk import in_words
from dgsweep.execution.guard import Guard, hang_cause
from dgsweep.execution.job import TrialJob, WorkerLink
from dgsweep.execution.keep import remove_unwanted_predictions
from dgsweep.execution.memory import OutOfMemoryRestartError, advised, memory_provenance, train_within_memory
from dgsweep.execution.partial_scores import PartialScores
from dgsweep.execution.pulse import Pulse
from dgsweep.networks.builder import count_parameters
from dgsweep.plan.trial import TrialSpec
from dgsweep.records.atomic import file_sha256
from dgsweep.records.columns import CASE_COLUMNS, CURVE_COLUMNS
from dgsweep.records.ledger import Ledger
from dgsweep.records.provenance import collect
from dgsweep.records.state import TrialState
from dgsweep.storage.files import UNANSWERED, exists, make_folder
from dgsweep.storage.place import AnyPath, place
from dgsweep.training.checkpoint import FINAL
from dgsweep.training.curves import Curves
from dgsweep.training.loop import Training, TrainTask, load_trained
from dgsweep.training.runtime import Runtime
from dgsweep.training.scoring import Row, ScoreTask, score_cases, score_tasks
from dgsweep.training.zero_shot import Leader, ZeroShotPlace, score_zero_shot, zero_shot_training


def run_trial(job: TrialJob, link: WorkerLink) -> None:
    """Run one trial to DONE, from wherever an earlier run left it.

    Raises:
        TrialFailedError: the trial failed; the ledger holds the cause.
        TrialPrunedError: the scheduler stopped it.
        TrialStoppedError: it was asked to stop, and did so at a checkpoint.
    """
    spec = TrialSpec.from_json(job.spec)
    ledger = Ledger(job.output)
    paths = ledger.paths(spec.trial_id)
    attempt = Attempt(ledger, spec.trial_id)
    _pin_threads(job.threads)
    os.umask(job.umask)
    if link.world_size == 1 and ledger.state(spec) is TrialState.DONE:
        return  # Ray lost what ran beside the worker just when it had finished
    try:
        _require_progress(ledger, spec)
        with (
            Guard(paths, link.rank, job.hang_timeout_s, active=link.own_process) as guard,
            _pulse(job, link, ledger, attempt) as pulse,
        ):
            _run(spec, ledger, job, _runtime(job, link, pulse, guard), attempt)
    except (TrialPrunedError, TrialStoppedError, OutOfMemoryRestartError):  # who decided it has noted it
        raise
    except TrialFailedError as failure:
        if failure.kind != SUPERSEDED:
            _note(ledger, spec, failure.cause, failure.kind, hang_cause(paths)[1])
        raise
    except torch.OutOfMemoryError as error:
        raise _failed(ledger, spec, advised(error, paths.micro_batches), "out_of_memory") from error
    except OSError as error:
        raise _failed(ledger, spec, in_words(error, job.output), "disk") from error
    except Exception as error:  # the one catch-all: a trial that breaks must not take the sweep with it
        raise _failed(ledger, spec, f"{type(error).__name__}: {error}", "error") from error


def _failed(ledger: Ledger, spec: TrialSpec, cause: str, kind: str) -> TrialFailedError:
    _note(ledger, spec, cause, kind, traceback.format_exc())
    return TrialFailedError(cause, kind=kind)


def _pulse(job: TrialJob, link: WorkerLink, ledger: Ledger, attempt: Attempt) -> Pulse:
    holding = Holding(cores=job.threads * link.world_size, gpus=job.gpus * link.world_size)
    beats = link.rank == 0
    return Pulse(ledger, job.spec["trial_id"], beats=beats, attempt=attempt, holding=holding, watches=job.prunable)


def _note(ledger: Ledger, spec: TrialSpec, cause: str, kind: str, trace: str = "") -> None:
    """Write the failure down; on a disk that is full the error that is raised must tell it.

    A trial that broke on its way out stays pruned.
    """
    with suppress(*UNANSWERED):
        if not ledger.is_pruned(spec.trial_id):
            ledger.fail(spec.trial_id, cause, kind, trace)


def _pin_threads(threads: int) -> None:
    torch.set_num_threads(threads)
    SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)


def _require_progress(ledger: Ledger, spec: TrialSpec) -> None:
    """Raise TrialFailedError where the trial hung twice in this run: it would again."""
    cause, _ = hang_cause(ledger.paths(spec.trial_id))
    if cause:
        raise TrialFailedError(cause, kind="hung")


def _runtime(job: TrialJob, link: WorkerLink, pulse: Pulse, guard: Guard) -> Runtime:
    def report(metrics: Mapping[str, float | int | str]) -> None:
        guard.moved()
        pulse.update(metrics)
        link.report(dict(metrics))

    def tick(step: int) -> None:
        guard.moved()
        pulse.step(step)

    device = torch.device("cuda", torch.cuda.current_device()) if job.device == "cuda" else torch.device("cpu")
    return Runtime(
        device=device,
        rank=link.rank,
        world_size=link.world_size,
        report=report,
        tick=tick,
        stopping=lambda: pulse.stopping() or guard.going(),
    )


def _run(spec: TrialSpec, ledger: Ledger, job: TrialJob, runtime: Runtime, attempt: Attempt) -> None:
    started = datetime.now(UTC)
    if runtime.leads:
        ledger.begin(spec)
        attempt.begin()
    training = _trained(spec, ledger, job, runtime)
    rows = _scores(training, spec, ledger, job, runtime)
    if runtime.leads:
        attempt.require_current()
        _record(training, rows, spec, ledger, started)


def _trained(spec: TrialSpec, ledger: Ledger, job: TrialJob, runtime: Runtime) -> Training:
    if spec.phase == "zero_shot":
        return zero_shot_training(spec, runtime)
    paths = ledger.paths(spec.trial_id)
    finished = load_trained(spec, paths.checkpoint, runtime)
    if finished is not None:
        return finished
    cache = PreprocessCache(job.cache)
    task = TrainTask(
        spec=spec,
        train=_cached(spec.split.train, spec, job, cache),
        val=_cached(spec.split.val, spec, job, cache),
        unlabelled=tuple(
            cache.image(job.cases[name], spec.preprocessing, spec.domains[name]) for name in spec.split.unlabelled
        ),
        checkpoints=paths.checkpoint,
        start=_start(spec, ledger),
        runtime=runtime,
        keep_curves=lambda curves: _keep_curves(curves, spec, ledger),
    )
    return train_within_memory(task, paths.micro_batches)


def _start(spec: TrialSpec, ledger: Ledger) -> AnyPath | None:
    """Where the weights lie that the trial starts from; None where the seed decides.

    Raises:
        TrialFailedError: They are not, or no longer, there.
    """
    if spec.given:
        return _given_weights(spec)
    if not spec.depends_on:
        return None
    (needed,) = spec.depends_on
    final = ledger.paths(needed).final_weights
    if not exists(final):
        raise _unmet(ledger, needed, "pretraining that it starts from")
    return final


def _leader(spec: TrialSpec, ledger: Ledger, runtime: Runtime) -> Leader | None:
    """The trained trial whose predictions give the prompts; None where the references do.

    Raises:
        TrialFailedError: it has not finished.
    """
    if not spec.depends_on:
        return None
    (needed,) = spec.depends_on
    own = ledger.spec(needed)
    training = load_trained(own, ledger.paths(needed).checkpoint, runtime) if own else None
    if own is None or training is None:
        raise _unmet(ledger, needed, "trial whose predictions prompt it")
    return Leader(spec=own, ctx=training.ctx)


def _unmet(ledger: Ledger, needed: str, what: str) -> TrialFailedError:
    """A trial that another depends on has not finished; the reason is its own."""
    cause = ledger.failure(needed).get("cause", "it has not finished")
    return TrialFailedError(f"the {what} ({needed}): {cause}", kind="dependency")


def _given_weights(spec: TrialSpec) -> AnyPath:
    weights = place(spec.given["checkpoint"])
    if file_sha256(weights) != spec.given["sha256"]:
        raise TrialFailedError(f"{weights}: not, or no longer, the weights that were planned", kind="dependency")
    return weights


def _cached(names: tuple[str, ...], spec: TrialSpec, job: TrialJob, cache: PreprocessCache) -> tuple[CachedCase, ...]:
    """Only train and val cases of the sources come this way, so no target label can; unlabelled scans do not."""
    return tuple(cache.training_case(job.cases[name], spec.preprocessing, spec.domains[name]) for name in names)


def _scores(
    training: Training, spec: TrialSpec, ledger: Ledger, job: TrialJob, runtime: Runtime
) -> list[dict[str, Any]]:
    """Rows of every wanted case; those that an earlier run scored are not scored again."""
    paths = ledger.paths(spec.trial_id)
    kept = ledger.valid_cases(spec)
    done: list[dict[str, Any]] = [{str(key): value for key, value in row.items()} for row in kept.to_dict("records")]
    have = {row["case_id"] for row in done}
    tasks = [task for task in score_tasks(spec, job.cases, paths.prediction) if task.case.info.case_id not in have]
    partial = PartialScores(paths.checkpoint, spec, runtime.rank)
    mine = [row for task in runtime.share(tasks) for row in partial.rows(task.case.info.case_id)]
    left = [task for task in runtime.share(tasks) if not partial.has(task.case.info.case_id)]
    alone = replace(runtime, rank=0, world_size=1)
    for folder in (paths.predictions, paths.checkpoint):  # scores of a case are kept beside the weights until the end
        make_folder(folder)
    known = len(have) + len(tasks) - len(left)
    _report_scored(known, spec, training, runtime)
    for number, (task, rows) in enumerate(_scored(training, spec, left, ledger, job, alone), start=1):
        partial.add(task.case.info.case_id, rows)
        mine.extend(rows)
        if number < len(left) and (reason := runtime.agreed_stop(at_checkpoint=False)):
            raise TrialStoppedError(reason)
        _report_scored(known + number, spec, training, runtime)
    return done + runtime.gather(mine)


def _report_scored(scored: int, spec: TrialSpec, training: Training, runtime: Runtime) -> None:
    """Say how many of the trial's cases are scored, where one worker scores them all: Ray waits for every worker's."""
    if runtime.world_size > 1:
        return
    counts = {"scored": scored, "to_score": len(spec.score_shas)}
    runtime.report({"phase": "score", "step": training.ctx.step, "steps": spec.budget_steps, **counts})


def _scored(
    training: Training, spec: TrialSpec, tasks: list[ScoreTask], ledger: Ledger, job: TrialJob, runtime: Runtime
) -> Iterator[tuple[ScoreTask, list[Row]]]:
    if spec.phase == "zero_shot":
        leader = _leader(spec, ledger, runtime)
        return score_zero_shot(
            training.ctx, spec, tasks, ZeroShotPlace(cache=PreprocessCache(job.cache), leader=leader), runtime
        )
    return score_cases(training.ctx, spec, tasks, PreprocessCache(job.cache), runtime)


def _record(training: Training, rows: list[dict[str, Any]], spec: TrialSpec, ledger: Ledger, started: datetime) -> None:
    order = {name: i for i, name in enumerate([*spec.split.val, *spec.split.test, *spec.split.target])}
    ordered = sorted(rows, key=lambda row: order.get(row["case_id"], len(order)))
    cases = pd.DataFrame(ordered, columns=list(CASE_COLUMNS))
    for flag in ("distance_penalised", "empty_prediction", "empty_reference"):
        cases[flag] = cases[flag].astype(bool)
    ledger.write_cases(spec.trial_id, cases)
    _keep_curves(training.curves, spec, ledger)
    paths = ledger.paths(spec.trial_id)
    memory = memory_provenance(paths.micro_batches, training)
    ledger.write_provenance(spec.trial_id, {**collect(started_at=started), **_costs(training), **memory})
    remove_unwanted_predictions(paths.predictions, cases, spec.output_keep)
    ledger.finish(spec.trial_id, spec)
    PartialScores.clear(paths.checkpoint)


def _keep_curves(curves: Curves, spec: TrialSpec, ledger: Ledger) -> None:
    ledger.write_curves(spec.trial_id, pd.DataFrame(curves.rows, columns=list(CURVE_COLUMNS)))


def _costs(training: Training) -> dict[str, Any]:
    ctx = training.ctx
    gpu = ctx.device.type == "cuda"
    adapts = "adapt" in ctx.method.hooks()  # its cases may all have been scored by an earlier run
    return {
        "train_wall_s": training.wall_s,
        "steps": ctx.step,
        "active_steps": ctx.active_steps,
        "active_cases": None if adapts and not ctx.adapted_cases else ctx.active_cases,
        "forward_passes": ctx.forward_passes,
        "parameters": count_parameters(ctx.network),
        "device": torch.cuda.get_device_name(ctx.device) if gpu else "cpu",
        "threads": torch.get_num_threads(),
        "peak_device_memory_bytes": torch.cuda.max_memory_allocated(ctx.device) if gpu else None,
        "checkpoint": FINAL,
    }
