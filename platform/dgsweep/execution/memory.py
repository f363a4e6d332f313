"""What a trial does when its device cannot hold a batch: it goes on with parts of it, once, and says so."""

import gc
from dataclasses import replace
from typing import Any

import torch

from dgsweep.method.micro_batch import common_parts, differences, part_count
from dgsweep.plan.trial import TrialSpec
from dgsweep.records.atomic import read_json, write_json
from dgsweep.storage.place import AnyPath
from dgsweep.training.assemble import method_of
from dgsweep.training.loop import Training, TrainTask, train

ADVICE = "lower data.patch or the network's width, or run where a device has more memory"
PRETRAIN_LEAST = 2
"""Patches of a part in pretraining, where some methods compare the patches of a batch with each other."""


class OutOfMemoryRestartError(RuntimeError):
    """Raised on one of several workers, so that all are started again with batches in parts."""


def train_within_memory(task: TrainTask, note: AnyPath) -> Training:
    """Train; where the device runs out of memory, once more from the last checkpoint with each batch in parts.

    Args:
        task: the training.
        note: file that keeps the number of parts, so that a resumed trial trains as it did before.

    Raises:
        torch.OutOfMemoryError: for the second time, or the batch cannot be cut.
        OutOfMemoryRestartError: on several workers, which must all begin again.
    """
    task = replace(task, micro_batches=_read_parts(note))
    try:
        return train(task)
    except torch.OutOfMemoryError as error:
        parts = 1 if task.micro_batches > 1 else parts_for(task.spec, task.runtime.world_size)
        if parts == 1:
            raise
        _note_parts(note, parts, cause=first_sentence(error), spec=task.spec)
    # outside of the handler, whose traceback would keep the first attempt's tensors
    gc.collect()
    torch.cuda.empty_cache()
    if task.runtime.world_size > 1:
        raise OutOfMemoryRestartError(f"out of memory; all workers begin again with each batch in {parts} parts")
    return train(replace(task, micro_batches=parts))


def advised(error: torch.OutOfMemoryError, note: AnyPath) -> str:
    """Cause of a failure for lack of memory: what was tried, and what to do."""
    parts = _read_parts(note)
    tried = f"even with each batch in {parts} parts" if parts > 1 else "and the batch cannot be cut into parts"
    return f"{first_sentence(error)}, {tried}; {ADVICE}"


def first_sentence(error: BaseException) -> str:
    """What torch says before its tables and hints."""
    return str(error).split(". ", maxsplit=1)[0].rstrip(".")


def parts_for(spec: TrialSpec, workers: int) -> int:
    """Into how many parts each worker's share of a batch is cut; 1 when it cannot be."""
    labelled, free = int(spec.training["batch"]) // workers, int(spec.training["unlabelled_batch"] or 0) // workers
    if spec.phase == "pretrain":
        return free // PRETRAIN_LEAST if free > PRETRAIN_LEAST and free % PRETRAIN_LEAST == 0 else 1
    parts = part_count(labelled, len(spec.sources), method_of(spec).batch_spec().min_domains)
    return common_parts(parts, free) if spec.split.unlabelled else parts


def _read_parts(note: AnyPath) -> int:
    """Into how many parts a trial cuts its batches since an earlier shortage of memory; 1 when there was none."""
    return int((read_json(note) or {}).get("parts", 1))


def _note_parts(note: AnyPath, parts: int, *, cause: str, spec: TrialSpec) -> None:
    """Keep the number of parts, so that a resumed trial trains as it did before."""
    write_json(note, {"parts": parts, "batch": spec.training["batch"], "cause": cause})


def memory_provenance(note: AnyPath, training: Training) -> dict[str, Any]:
    """What the record says of it; {} for a trial that trained on whole batches."""
    found = read_json(note)
    if not found:
        return {}
    different = differences(training.ctx.method, training.ctx.network)
    return {"micro_batches": {**found, "same_gradients": not different, "differences": different}}
