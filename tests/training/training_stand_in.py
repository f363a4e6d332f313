"""A made-up trial on made-up scans: bright boxes on noise, prepared as the cache prepares them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dgsweep.config.schema import SweepConfig
from dgsweep.data.cache import CachedCase
from dgsweep.data.grid import NativeGrid
from dgsweep.plan.trial import Preprocessing, Setting, Split, TrialSpec
from dgsweep.training.loop import TrainTask
from dgsweep.training.runtime import Runtime

PATCH = (16, 16, 16)
SHAPE = (20, 18, 16)
DOMAINS = {"a1": "C1/T1W", "a2": "C1/T1W", "b1": "C2/T1W", "b2": "C2/T1W", "v1": "C1/T1W", "v2": "C2/T1W"}


def make_case(case_id: str, shape: tuple[int, int, int] = SHAPE) -> CachedCase:
    rng = np.random.default_rng(sum(map(ord, case_id)))
    label = np.zeros(shape, dtype=np.uint8)
    start = [int(rng.integers(1, side // 2)) for side in shape]
    label[tuple(slice(low, low + side // 3) for low, side in zip(start, shape, strict=True))] = 1
    image = (2.0 * label + rng.normal(size=shape)).astype(np.float32)
    native = NativeGrid(shape=shape, affine=((1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1)))
    return CachedCase(
        case_id=case_id, domain=DOMAINS[case_id], image=image, label=label,
        foreground={1: np.flatnonzero(label)}, native=native, spacing_mm=(1.0, 1.0, 1.0),
    )  # fmt: skip


def make_spec(method: str = "erm", *, steps: int = 6, seed: int = 0, hp: Any = None, **training: Any) -> TrialSpec:
    sweep = SweepConfig.model_validate({"data": {"manifest": "m.csv"}, "methods": [method]})
    recipe = {
        **sweep.training.model_dump(mode="json"), "learning_rate": 0.01, "eval_every": 3, "checkpoint_every": 2,
        "amp": "off", "batch": 4,
    }  # fmt: skip
    return TrialSpec(
        trial_id="t", cell_id="c", sweep="s", method=method, recipe_version=1, setting=Setting(), hp=hp or {},
        network="unet_tiny", network_recipe=1, network_options={"width": 4, "levels": 2},
        sources=("C1/T1W", "C2/T1W"), targets=(), sources_label="T1W", fold=0, seed=seed, trial=0, budget_steps=steps,
        preprocessing=Preprocessing(spacing_mm=(1.0, 1.0, 1.0), patch=PATCH, labels={"organ": 1}),
        training={**recipe, **training}, inference=sweep.inference.model_dump(mode="json"),
        metrics=sweep.metrics.model_dump(mode="json"), output_keep="none",
        split=Split(train=("a1", "a2", "b1", "b2"), val=("v1", "v2"), test=(), target=()),
        domains=DOMAINS, score_shas={}, train_sha="x",
    )  # fmt: skip


def make_task(spec: TrialSpec, folder: Path, runtime: Runtime | None = None) -> TrainTask:
    return TrainTask(
        spec=spec,
        train=tuple(make_case(name) for name in spec.split.train),
        val=tuple(make_case(name) for name in spec.split.val),
        checkpoints=folder / "t" / "checkpoint",
        runtime=runtime or cpu(),
    )


def cpu(**changes: Any) -> Runtime:
    return replace(Runtime(device=torch.device("cpu")), **changes)


def weights_of(training: Any) -> torch.Tensor:
    return torch.cat([value.detach().flatten() for value in training.ctx.network.state_dict().values()])
