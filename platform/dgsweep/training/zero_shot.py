"""Trials that learn nothing: a pretrained network, prompts where it takes some, and whole scans in their own voxels."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from dgsweep.config.prompt_protocol import parse_protocol
from dgsweep.data.cache import PreprocessCache
from dgsweep.data.geometry import read_label, read_volume, to_native
from dgsweep.data.grid import NativeGrid
from dgsweep.method.case_request import CaseRequest
from dgsweep.method.context import Context
from dgsweep.method.promptable.prompts import Prompt, prompts_from_mask
from dgsweep.plan.trial import TrialSpec
from dgsweep.training.assemble import build_recipe, method_of
from dgsweep.training.curves import Curves
from dgsweep.training.loop import Training
from dgsweep.training.runtime import Runtime
from dgsweep.training.scoring import Predicted, Row, ScoreTask, class_map, predict_mask, score_case

EMBEDDINGS = "embeddings"
"""Folder beside the preprocessed scans."""


def zero_shot_training(spec: TrialSpec, runtime: Runtime) -> Training:
    """A training of no steps: the method with its pretrained network, ready to predict."""
    method = method_of(spec)
    network = method.pretrained(runtime.device, spec.setting.prompt)
    workers = replace(runtime, wraps=False)
    ctx = Context(network, method, build_recipe(spec, runtime), n_domains=0, workers=workers)
    return Training(ctx=ctx, curves=Curves())


@dataclass(frozen=True, kw_only=True)
class Leader:
    """A trained trial whose predictions give the prompts."""

    spec: TrialSpec
    ctx: Context


@dataclass(frozen=True, kw_only=True)
class ZeroShotPlace:
    """Where embeddings and preprocessed scans are kept, and who gives the prompts."""

    cache: Path
    leader: Leader | None = None
    """None: the references do."""


def score_zero_shot(
    ctx: Context, spec: TrialSpec, tasks: list[ScoreTask], place: ZeroShotPlace, runtime: Runtime
) -> Iterator[tuple[ScoreTask, list[Row]]]:
    """Predict and score this worker's share, one case after the other.

    The reference is opened before the prediction where the protocol makes its prompts of it: an oracle, and tagged so.
    """

    def predicted(task: ScoreTask) -> Predicted:
        return _predicted(ctx, spec, task, place)

    for task in runtime.share(tasks):
        yield task, score_case(spec, task, predicted, step=0)


def _predicted(ctx: Context, spec: TrialSpec, task: ScoreTask, place: ZeroShotPlace) -> Predicted:
    """Classes of a scan in its own order of voxels."""
    volume = read_volume(task.case.image)
    info = task.case.info
    request = CaseRequest(
        case_id=info.case_id,
        spacing_mm=volume.spacing_mm,
        prompts=_prompts(spec, task, volume.native, place) if spec.setting.prompt else {},
        cache=place.cache / EMBEDDINGS,
    )
    image = torch.from_numpy(volume.array)[None].to(ctx.device)
    with _asked(ctx, request):
        found = ctx.method.predict_case(ctx, image)
    if found is None:
        raise ValueError(f"{spec.method} is not trained and predicts nothing: it must override `predict_case`")
    return to_native(found.float().cpu().numpy(), volume.native), volume.native


@contextmanager
def _asked(ctx: Context, request: CaseRequest) -> Iterator[None]:
    ctx.request = request
    ctx.network.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        ctx.request = None


def _prompts(
    spec: TrialSpec, task: ScoreTask, native: NativeGrid, place: ZeroShotPlace
) -> dict[int, tuple[Prompt, ...]]:
    """Class -> prompts made of the reference or of a prediction, in the axial slices of the scan in closest RAS."""
    protocol = parse_protocol(str(spec.setting.prompt))
    classes = {name: k for k, name in enumerate(spec.preprocessing.labels, start=1)}
    truth = _led(place.leader, task, place.cache) if place.leader else _reference(task, native, classes)
    return {
        k: prompts_from_mask(truth == k, protocol, seed=spec.seed, case_id=f"{task.case.info.case_id}|{k}")
        for k in classes.values()
    }


def _reference(task: ScoreTask, native: NativeGrid, classes: Mapping[str, int]) -> np.ndarray:
    if task.case.label is None:
        raise ValueError(f"{task.case.info.case_id} has no label to make prompts of")
    return class_map(read_label(task.case.label, native), task, classes)


def _led(leader: Leader, task: ScoreTask, cache: Path) -> np.ndarray:
    """Classes that a trained trial predicts, in closest RAS; no label is opened."""
    cached = PreprocessCache(cache).image(task.case, leader.spec.preprocessing, task.domain)
    return cached.native.to_canonical(predict_mask(leader.ctx, leader.spec, cached))
