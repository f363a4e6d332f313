"""What a step of each method costs against the forward and backward passes that it makes.

A pass that keeps gradients counts three (forward, and backward at twice its cost), one without counts one, both by the
voxels that go in; ERM's step is three. The count is taken from the networks while a step runs, and held against the
measured time of a step over that of ERM in the same rounds. What is above one is the method's own work: changing
images, penalties on features, updates of teachers. `nnunet` with 16 channels on patches of 32 x 32 x 32, batch of four,
two domains, half of the budget behind it, so that ramps are up; one thread.

    python benchmarks/method_overhead.py
"""

import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import torch
from made_data import first_trial, scans
from rounds import timed
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook

from dgsweep.errors import Problems
from dgsweep.method.base import Batch
from dgsweep.method.catalog import method_declarations
from dgsweep.method.context import Context
from dgsweep.plan.hyperparameters import resolve_values
from dgsweep.plan.trial import TrialSpec
from dgsweep.training.assemble import build_context
from dgsweep.training.runtime import Runtime

PATCH, BATCH, WIDTH = (32, 32, 32), 4, 16
ROUNDS, STEPS = 2, 1
KEPT, WITHOUT = 3.0, 1.0
OTHER_SHAPE = ("sam", "sam2", "medsam", "medsam2", "medsegdiff")
"""Prompted models train nothing; the diffusion model is a network of its own."""


def batch_of(seed: int, *, hidden: bool) -> Batch:
    """Noise with a bright cube, or its unlabelled half."""
    generator = torch.Generator().manual_seed(seed)
    image = torch.randn(BATCH, 1, *PATCH, generator=generator)
    label = torch.zeros(BATCH, *PATCH, dtype=torch.long)
    label[:, 8:20, 8:20, 8:20] = 1
    image = image + 2.0 * label[:, None]
    return Batch(
        image=image, label=torch.full_like(label, -1) if hidden else label, domain=torch.arange(BATCH) % 2,
        case_ids=tuple(f"case{place}" for place in range(BATCH)),
    )  # fmt: skip


def context_of(spec: TrialSpec, name: str) -> Context:
    """A context of the method, half of the budget behind it."""
    declaration = method_declarations()[name]
    hp = resolve_values(declaration.hyperparameters, {}, name, Problems())
    variant = declaration.variants[0] if declaration.variants else ""
    own = replace(spec, method=name, hp=hp, setting=replace(spec.setting, variant=variant))
    ctx = build_context(own, Runtime(device=torch.device("cpu")))
    ctx.step = spec.budget_steps // 2
    return ctx


@contextmanager
def passes_counted(ctx: Context) -> Iterator[list[float]]:
    """Forward passes inside the block, in units of one batch's forward pass."""
    whole, found = float(BATCH * torch.tensor(PATCH).prod()), []

    def note(module: nn.Module, given: Any, out: Any) -> None:
        if type(module) is type(ctx.network) and given:
            outputs = out if isinstance(out, list | tuple) else [out]
            kept = any(isinstance(one, Tensor) and one.requires_grad for one in outputs)
            voxels = float(given[0].shape[0] * torch.tensor(given[0].shape[2:]).prod())
            found.append((KEPT if kept else WITHOUT) * voxels / whole)

    handle = register_module_forward_hook(note)
    try:
        yield found
    finally:
        handle.remove()


def step_of(ctx: Context) -> None:
    """A few steps."""
    for _ in range(STEPS):
        ctx.run_step(replace(batch_of(ctx.step, hidden=False), unlabelled=batch_of(ctx.step + 1, hidden=True)))


def measure(ctx: Context, erm: Context) -> dict[str, float]:
    """Passes counted and time measured, both in steps of ERM."""
    step_of(ctx), step_of(erm)
    with passes_counted(ctx) as passes:
        step_of(ctx)
    counted = sum(passes) / (KEPT * STEPS)
    rounds = [(timed(lambda: step_of(ctx)), timed(lambda: step_of(erm))) for _ in range(ROUNDS)]
    took = median(one / two for one, two in rounds)
    return {"passes": counted, "time": took, "time / passes": took / counted}


def run() -> dict[str, Any]:
    """For each method; the aim is at most 1.1."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        manifest = scans(Path(name), shape=(48, 40, 32), patients_per_center=1)
        spec = first_trial(
            manifest, data={"patch": PATCH, "spacing_mm": [3, 3, 3]}, training={"batch": BATCH},
            networks=[{"name": "nnunet", "options": {"width": WIDTH}}],
        )  # fmt: skip
    erm, found = context_of(spec, "erm"), {}
    for method in sorted(set(method_declarations()) - set(OTHER_SHAPE)):
        found[method] = measure(context_of(spec, method), erm)
        print(f"  {method}: {found[method]['time / passes']:.2f}", file=sys.stderr, flush=True)
    above = sorted(method for method, row in found.items() if row["time / passes"] > 1.1)
    return {"methods": len(found), "number above 1.1": len(above), "above 1.1": above, **found}


if __name__ == "__main__":
    print(json.dumps(run(), indent=2))
