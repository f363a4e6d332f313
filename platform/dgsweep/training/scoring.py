"""Scores whole cases in their own grid from a trained model: one row per case and structure, one mask per case."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from dgsweep.data.cache import CachedCase, PreprocessCache, require_unchanged
from dgsweep.data.geometry import NativeGrid, read_label, to_native, write_mask
from dgsweep.data.manifest import Case
from dgsweep.method.context import Context
from dgsweep.metrics import score_labels
from dgsweep.plan.trial import TrialSpec
from dgsweep.storage.place import AnyPath
from dgsweep.training.inference import predict_probabilities
from dgsweep.training.runtime import Runtime

Row = dict[str, Any]
Predicted = tuple[np.ndarray, NativeGrid]
"""A mask in the file's own voxel order, and that file's grid."""


@dataclass(frozen=True, kw_only=True)
class ScoreTask:
    """One case to score."""

    case: Case
    domain: str
    role: str
    """val, in_domain or target."""
    prediction: AnyPath
    """Where its mask goes."""


def score_tasks(spec: TrialSpec, cases: Mapping[str, Case], prediction: Callable[[str], AnyPath]) -> list[ScoreTask]:
    """Every case that the trial has to score, in a fixed order: val, in-domain test, target."""
    roles = [("val", spec.split.val), ("in_domain", spec.split.test), ("target", spec.split.target)]
    return [
        ScoreTask(case=cases[name], domain=spec.domains[name], role=role, prediction=prediction(name))
        for role, names in roles
        for name in names
    ]


def score_cases(
    ctx: Context, spec: TrialSpec, tasks: list[ScoreTask], cache: PreprocessCache, runtime: Runtime
) -> Iterator[tuple[ScoreTask, list[Row]]]:
    """Predict and score this worker's share, one case after the other; masks are written as they come."""

    def predicted(task: ScoreTask) -> Predicted:
        cached = cache.image(task.case, spec.preprocessing, task.domain)
        return predict_mask(ctx, spec, cached), cached.native

    for task in runtime.share(tasks):
        yield task, score_case(spec, task, predicted, step=ctx.step)


def score_case(
    spec: TrialSpec, task: ScoreTask, predicted: Callable[[ScoreTask], Predicted], *, step: int
) -> list[Row]:
    """Predict one case, write its mask and score it; the reference is opened after the mask is written."""
    started = time.monotonic()
    mask, native = predicted(task)
    write_mask(task.prediction, mask, native)
    scores = _score(spec, task, mask, native)
    wall_s = time.monotonic() - started
    return [{**_identity(spec, task, step), **score, "wall_s": wall_s} for score in scores]


def predict_mask(ctx: Context, spec: TrialSpec, cached: CachedCase) -> np.ndarray:
    """Class of each voxel in the file's own voxel order (uint8; class k is the k-th structure of the trial)."""
    image = torch.from_numpy(np.array(cached.image))[None]
    probabilities = predict_probabilities(ctx, image, spec.preprocessing.patch, spec.inference)
    return to_native(probabilities.cpu().numpy(), cached.native)


def _score(spec: TrialSpec, task: ScoreTask, mask: np.ndarray, native: NativeGrid) -> list[Row]:
    """The reference is opened here, after the prediction exists."""
    if task.case.label is None:
        return []
    require_unchanged(task.case, task.case.label, task.case.info.label_sha)  # the score is filed under what was planned
    reference = read_label(task.case.label, native)
    classes = {name: k for k, name in enumerate(spec.preprocessing.labels, start=1)}
    truth = class_map(reference, task, classes)
    return score_labels(
        native.to_canonical(mask), truth, classes, native.spacing_mm, tau_mm=float(spec.metrics["tau_mm"])
    )


def class_map(reference: np.ndarray, task: ScoreTask, classes: Mapping[str, int]) -> np.ndarray:
    """Classes of the trial (uint8) from the values of a label file, in the same order of voxels."""
    truth = np.zeros(reference.shape, dtype=np.uint8)
    for name, k in classes.items():
        truth[reference == task.case.label_values[name]] = k
    return truth


def _identity(spec: TrialSpec, task: ScoreTask, step: int) -> Row:
    info = task.case.info
    return {
        "trial_id": spec.trial_id,
        "method": spec.method,
        "variant": spec.setting.variant,
        "setting": spec.setting.label(),
        "label_ratio": spec.setting.label_ratio,
        "prompt": spec.setting.prompt,
        "panel": spec.panel,
        "network": spec.network,
        "sources": "+".join(spec.sources),
        "fold": spec.fold,
        "seed": spec.seed,
        "trial": spec.trial,
        "step": step,
        "domain": task.domain,
        "role": task.role,
        "case_id": info.case_id,
        "patient_id": info.patient_id,
        "center": info.center,
        "sequence": info.sequence,
    }
