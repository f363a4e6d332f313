"""Trials that learn nothing: a pretrained network, prompts where it takes some, and whole scans in their own voxels."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch

from dgsweep.config.prompt_protocol import parse_protocol
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
from dgsweep.training.scoring import Predicted, Row, ScoreTask, class_map, score_case

EMBEDDINGS = "embeddings"
"""Folder beside the preprocessed scans."""


def zero_shot_training(spec: TrialSpec, runtime: Runtime) -> Training:
    """A training of no steps: the method with its pretrained network, ready to predict."""
    method = method_of(spec)
    network = method.pretrained(runtime.device, spec.setting.prompt)
    workers = replace(runtime, wraps=False)
    ctx = Context(network, method, build_recipe(spec, runtime), n_domains=0, workers=workers)
    return Training(ctx=ctx, curves=Curves())


def score_zero_shot(
    ctx: Context, spec: TrialSpec, tasks: list[ScoreTask], cache: Path, runtime: Runtime
) -> Iterator[tuple[ScoreTask, list[Row]]]:
    """Predict and score this worker's share, one case after the other.

    The reference is opened before the prediction where the protocol makes its prompts of it: an oracle, and tagged so.
    """

    def predicted(task: ScoreTask) -> Predicted:
        return _predicted(ctx, spec, task, cache)

    for task in runtime.share(tasks):
        yield task, score_case(spec, task, predicted, step=0)


def _predicted(ctx: Context, spec: TrialSpec, task: ScoreTask, cache: Path) -> Predicted:
    """Classes of a scan in its own order of voxels."""
    volume = read_volume(task.case.image)
    info = task.case.info
    request = CaseRequest(
        case_id=info.case_id,
        image_sha=info.image_sha,
        spacing_mm=volume.spacing_mm,
        prompts=_prompts(spec, task, volume.native) if spec.setting.prompt else {},
        cache=cache / EMBEDDINGS,
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


def _prompts(spec: TrialSpec, task: ScoreTask, native: NativeGrid) -> dict[int, tuple[Prompt, ...]]:
    """Class -> prompts made of the reference, in the axial slices of the scan in closest RAS."""
    if task.case.label is None:
        return {}
    protocol = parse_protocol(str(spec.setting.prompt))
    classes = {name: k for k, name in enumerate(spec.preprocessing.labels, start=1)}
    truth = class_map(read_label(task.case.label, native), task, classes)
    return {
        k: prompts_from_mask(truth == k, protocol, seed=spec.seed, case_id=f"{task.case.info.case_id}|{k}")
        for k in classes.values()
    }
