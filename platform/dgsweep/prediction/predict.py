"""Masks of scans, in each scan's own geometry, from one trained trial or several."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from dgsweep.data.cache import CachedCase, scan_on_grid
from dgsweep.data.geometry import probabilities_to_native, to_native
from dgsweep.data.grid import NativeGrid
from dgsweep.data.volume_file import save_volume
from dgsweep.errors import CaseError, InputError, Problem, Problems
from dgsweep.method.context import Context
from dgsweep.plan.trial import TrialSpec
from dgsweep.prediction.layout import OutputLayout
from dgsweep.prediction.scans import Scan
from dgsweep.records.ledger import Ledger
from dgsweep.training.inference import predict_probabilities
from dgsweep.training.loop import load_trained
from dgsweep.training.runtime import Runtime

Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class Model:
    """A trained trial, ready to predict."""

    spec: TrialSpec
    ctx: Context


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a prediction did."""

    written: int
    skipped: int
    """Masks that lay there already."""
    problems: tuple[Problem, ...]
    """Scans that could not be predicted, and why."""


def load_models(ledger: Ledger, specs: Sequence[TrialSpec], device: torch.device) -> list[Model]:
    """The trials' networks with their final weights.

    Raises:
        InputError: a trial has no weights of its own to predict with, its checkpoint is gone, or the trials do not
            segment the same structures.
    """
    problems, models = Problems(), []
    for spec in specs:
        if spec.phase != "train":
            problems.add(f"trial {spec.trial_id}", f"its phase is {spec.phase}", "choose a trained trial")
            continue
        trained = load_trained(spec, ledger.paths(spec.trial_id).checkpoint, Runtime(device=device))
        if trained is None:
            problems.add(f"trial {spec.trial_id}", "its final checkpoint is gone", "run the sweep again without it")
            continue
        models.append(Model(spec=spec, ctx=trained.ctx))
    if len({tuple(spec.preprocessing.labels.items()) for spec in specs}) > 1:
        problems.add("ensemble", "the trials segment different structures", "choose trials of one set of labels")
    problems.raise_if_any(InputError, "these trials cannot predict")
    return models


def predict_scans(
    models: Sequence[Model],
    scans: Sequence[Scan],
    layout: OutputLayout,
    *,
    probabilities: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Outcome:
    """Write the mask of every scan that has none yet; one that cannot be read does not stop the others.

    Args:
        models: One, or several whose probabilities are averaged on the scan's own grid.
        scans: What to predict.
        layout: Where to.
        probabilities: Write those of every class too (float32).
        overwrite: Predict again what is there.
        progress: Told the number of scans done and of all.
    """
    written, skipped, problems = 0, 0, []
    for number, scan in enumerate(scans, start=1):
        if layout.mask(scan).exists() and not overwrite:
            skipped += 1
        else:
            try:
                _predict(models, scan, layout, probabilities)
                written += 1
            except CaseError as error:
                problems += [Problem(where=scan.path.name, found=one.found, fix=one.fix) for one in error.problems]
        if progress is not None:
            progress(number, len(scans))
    return Outcome(written=written, skipped=skipped, problems=tuple(problems))


def _predict(models: Sequence[Model], scan: Scan, layout: OutputLayout, probabilities: bool) -> None:
    spec = models[0].spec
    target = layout.mask(scan)
    target.parent.mkdir(parents=True, exist_ok=True)
    if len(models) == 1 and not probabilities:
        prepared = scan_on_grid(scan.path, spec.preprocessing)
        classes = to_native(_on_working_grid(models[0], prepared), prepared.native)
        native = prepared.native
    else:
        merged, native = _merged(models, scan.path)
        classes = merged.argmax(axis=0).astype(np.uint8)
        if probabilities:
            _write_probabilities(merged, native, scan, layout)
    layout.write_sidecar(scan)
    save_volume(target, _values(classes, layout), native.matrix, space_code=native.space_code)


def _on_working_grid(model: Model, prepared: CachedCase) -> npt.NDArray[np.float32]:
    """Probabilities (C, x, y, z)."""
    image = torch.from_numpy(np.array(prepared.image))[None]
    grid = model.spec.preprocessing
    with _seeded(model.spec.seed):
        found = predict_probabilities(model.ctx, image, grid.patch, model.spec.inference)
    return np.asarray(found.cpu().numpy(), dtype=np.float32)


def _merged(models: Sequence[Model], path: Path) -> tuple[npt.NDArray[np.float32], NativeGrid]:
    """Mean probabilities (C, i, j, k) of all models in the scan's own order of voxels."""
    total: npt.NDArray[np.float32] | None = None
    for model in models:
        prepared = scan_on_grid(path, model.spec.preprocessing)
        native = prepared.native
        own = probabilities_to_native(_on_working_grid(model, prepared), native)
        total = own if total is None else np.add(total, own, out=total)
    if total is None:
        raise InputError("no model", [Problem(where="model", found="none", fix="choose a trial")])
    return total / np.float32(len(models)), native


def _write_probabilities(merged: npt.NDArray[np.float32], native: NativeGrid, scan: Scan, layout: OutputLayout) -> None:
    for name, one in zip(("background", *layout.labels), merged, strict=True):
        target = layout.probability(scan, name)
        target.parent.mkdir(parents=True, exist_ok=True)
        save_volume(target, one, native.matrix, space_code=native.space_code)


def _values(classes: npt.NDArray[np.uint8], layout: OutputLayout) -> npt.NDArray[Any]:
    """Class k becomes the value of the k-th structure, as in the label files."""
    values = np.array([0, *layout.labels.values()])
    return values.astype(np.uint8 if values.max() < 256 else np.uint16)[classes]


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Random numbers of a method that adapts at test time begin anew at each scan, whatever came before it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
