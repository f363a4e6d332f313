"""The one training loop. It knows no method, no Ray, no MLflow; killed and started again it gives the same numbers."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch

from dgsweep.data.cache import CachedCase
from dgsweep.errors import TrialFailedError, TrialPrunedError, TrialStoppedError
from dgsweep.method.context import Context
from dgsweep.plan.trial import TrialSpec
from dgsweep.storage.files import UNANSWERED, exists
from dgsweep.storage.place import AnyPath
from dgsweep.training.assemble import build_context
from dgsweep.training.checkpoint import (
    FINAL,
    LAST,
    check_network,
    load_checkpoint,
    load_last,
    remove_last,
    save_checkpoint,
    save_last,
)
from dgsweep.training.curves import Curves, forget_curves
from dgsweep.training.feed import Feed
from dgsweep.training.runtime import Runtime
from dgsweep.training.validate import score_line, source_validation

STUDENT_DICE = "dice_student"
"""Curve of the network that gradients train, where its teacher, or several together, predict."""
CHECK_EVERY = 25
"""Steps between two looks at the loss of an accelerator (each look waits for it)."""


@dataclass(frozen=True, kw_only=True)
class TrainTask:
    """One training."""

    spec: TrialSpec
    train: tuple[CachedCase, ...]
    val: tuple[CachedCase, ...]
    unlabelled: tuple[CachedCase, ...] = ()
    """Scans without their labels, for a method that learns from them."""
    checkpoints: AnyPath
    """Folder of the trial's checkpoints."""
    start: AnyPath | None = None
    """Final checkpoint of the pretraining that the network starts from."""
    runtime: Runtime
    keep_curves: Callable[[Curves], None] = forget_curves
    """Called by the leading worker with the curves so far, before it reports a validation."""
    micro_batches: int = 1
    """Into how many parts each batch is cut."""


@dataclass(kw_only=True)
class Training:
    """A training under way or finished."""

    ctx: Context
    curves: Curves
    wall_s: float = 0.0
    """Seconds spent so far, over all restarts."""


def train(task: TrainTask) -> Training:
    """Train to the end of the budget, from the last checkpoint if there is one; a finished training is only loaded.

    Raises:
        TrialFailedError: the loss was not finite.
        TrialStoppedError: the runtime asked for it; the last checkpoint is of the last finished step.
        TrialPrunedError: the scheduler did.
    """
    ctx = build_context(task.spec, task.runtime, _starting_weights(task))
    finished = load_checkpoint(task.checkpoints / FINAL, ctx.device)
    if finished is not None:
        check_network(finished, task.checkpoints / FINAL, _network_of(task.spec))
        ctx.load_weights(finished["context"])
        return Training(ctx=ctx, curves=Curves.from_state(finished["curves"]), wall_s=finished["wall_s"])
    ctx.micro_batches = task.micro_batches
    training = _resume(ctx, task)
    feed = Feed(task.spec, task.train, task.runtime, task.unlabelled)
    try:
        _run(training, feed, task)
    except TrialPrunedError:
        if task.runtime.leads:
            with suppress(*UNANSWERED):  # without it the trial could go on from the one before
                save_last(_state(training, task.spec), task.checkpoints)
        raise
    finally:
        feed.close()
    if task.runtime.leads:
        _save_final(training, task)
    return training


def load_trained(spec: TrialSpec, checkpoints: AnyPath, runtime: Runtime) -> Training | None:
    """A finished training, or None."""
    if not exists(checkpoints / FINAL):
        return None
    return train(TrainTask(spec=spec, train=(), val=(), checkpoints=checkpoints, runtime=runtime))


def _starting_weights(task: TrainTask) -> dict[str, Any] | None:
    """Weights of the pretrained network; None where the seed decides, and where the training is under way already."""
    if task.start is None or exists(task.checkpoints / FINAL) or load_last(task.checkpoints, torch.device("cpu")):
        return None
    saved = load_checkpoint(task.start, task.runtime.device)
    if saved is None:
        raise TrialFailedError(f"the pretraining that it starts from left no {task.start.name}", kind="dependency")
    weights: dict[str, Any] = saved["context"]["network"]
    return weights


def _resume(ctx: Context, task: TrainTask) -> Training:
    saved = load_last(task.checkpoints, ctx.device)
    if saved is None:
        return Training(ctx=ctx, curves=Curves())
    check_network(saved, task.checkpoints / LAST, _network_of(task.spec))
    ctx.load_state_dict(saved["context"])
    return Training(ctx=ctx, curves=Curves.from_state(saved["curves"]), wall_s=saved["wall_s"])


def _run(training: Training, feed: Feed, task: TrainTask) -> None:
    ctx, curves, spec = training.ctx, training.curves, task.spec
    clock = time.monotonic() - training.wall_s
    eval_every, checkpoint_every = int(spec.training["eval_every"]), int(spec.training["checkpoint_every"])
    ctx.network.train()
    while ctx.step < spec.budget_steps:
        ctx.run_step(feed.batch(ctx.step))
        curves.add_losses(ctx.losses)
        training.wall_s = time.monotonic() - clock
        last = ctx.step == spec.budget_steps
        due = last or ctx.step % eval_every == 0 or ctx.step % checkpoint_every == 0
        if due or ctx.device.type == "cpu" or ctx.step % CHECK_EVERY == 0:
            _stop_on_bad_loss(ctx, feed, task)
        if last:
            ctx.method.finish(ctx)
        if last or ctx.step % eval_every == 0:
            _evaluate(training, task)
            if not last and _should_stop(curves, spec):
                ctx.method.finish(ctx)
                break
        task.runtime.tick(ctx.step)  # here a step is complete, for whoever stops the training
        if not last:
            _keep(training, task, due=ctx.step % checkpoint_every == 0)


def _keep(training: Training, task: TrainTask, *, due: bool) -> None:
    """Write the checkpoint that is due, or the last one of a training that is to stop."""
    reason = task.runtime.agreed_stop(at_checkpoint=due)
    if due or reason:
        _save_last(training, task)
    if reason:
        raise TrialStoppedError(reason)


def _evaluate(training: Training, task: TrainTask) -> None:
    ctx, curves = training.ctx, training.curves
    losses = curves.flush_losses(ctx.step)
    scores = source_validation(ctx, task.spec, task.val, task.runtime)
    for domain, dice in scores.items():
        curves.add(ctx.step, "val", domain, "dice", dice)
    _note_beside(ctx, curves, task)
    ctx.method.on_eval(ctx, scores)
    if task.runtime.leads:
        task.keep_curves(curves)
    loss = {f"metric/loss_{name}": value for name, value in losses.items()}
    state: dict[str, float | int | str] = {
        "phase": "train",
        "step": ctx.step,
        "steps": task.spec.budget_steps,
        "wall_s": training.wall_s,
    }
    task.runtime.report({**state, **loss, **score_line(scores)})


def _note_beside(ctx: Context, curves: Curves, task: TrainTask) -> None:
    """What a method notes of itself, and how the trained network does where another one predicts."""
    for name, value in ctx.notes.items():
        curves.add(ctx.step, "train", "all", name, value)
    if ctx.method.predictor(ctx) is not ctx.network and task.val:
        for domain, dice in source_validation(ctx, task.spec, task.val, task.runtime, ctx.network).items():
            curves.add(ctx.step, "val", domain, STUDENT_DICE, dice)


def _should_stop(curves: Curves, spec: TrialSpec) -> bool:
    patience = spec.training.get("early_stop_evals")
    history = curves.values("val", "all", "dice")
    return bool(patience and history) and len(history) - 1 - history.index(max(history)) >= int(patience or 0)


def _stop_on_bad_loss(ctx: Context, feed: Feed, task: TrainTask) -> None:
    bad_step = int(ctx.first_bad_step)
    if bad_step < 0:
        return
    last = load_last(task.checkpoints, torch.device("cpu"))
    kept = f"the last good checkpoint is of step {last['context']['step']}" if last else "there is no checkpoint yet"
    cases = ", ".join(feed.case_ids(bad_step))
    raise TrialFailedError(f"the loss was not finite at step {bad_step} (cases {cases}); {kept}", kind="nan_loss")


def _state(training: Training, spec: TrialSpec) -> dict[str, Any]:
    return {
        "network": _network_of(spec),
        "context": training.ctx.state_dict(),
        "curves": training.curves.state(),
        "wall_s": training.wall_s,
    }


def _network_of(spec: TrialSpec) -> dict[str, Any]:
    return {"name": spec.network, "options": dict(spec.network_options)}


def _save_last(training: Training, task: TrainTask) -> None:
    if task.runtime.leads:
        save_last(_state(training, task.spec), task.checkpoints)
    task.runtime.report({"phase": "train", "step": training.ctx.step, "steps": task.spec.budget_steps})


def _save_final(training: Training, task: TrainTask) -> None:
    """The trained weights without the optimizer, then the resumable state is no longer needed."""
    state = _state(training, task.spec)
    del state["context"]["optimizer"]
    save_checkpoint(state, task.checkpoints / FINAL)
    remove_last(task.checkpoints)
