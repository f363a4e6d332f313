"""Methods that run out of memory on purpose, as a stranger's distribution that command lines find."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from dgsweep.method import Hyperparameter, MethodDeclaration
from dgsweep.method.base import Batch, Method, View
from dgsweep.method.context import Context


@dataclass(kw_only=True)
class Greedy(Method):
    """Raises what torch raises when a device is full, above a number of patches, from a step on."""

    holds: int
    from_step: int

    def loss(self, ctx: Context, batch: Batch, views: Sequence[View]) -> Mapping[str, Tensor]:
        if len(batch.case_ids) > self.holds and ctx.step >= self.from_step:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total of")
        return super().loss(ctx, batch, views)


GREEDY = MethodDeclaration(
    name="greedy",
    recipe_version=1,
    summary="for tests",
    implementation="memory_plugins:Greedy",
    hyperparameters={"holds": Hyperparameter(default=100), "from_step": Hyperparameter(default=0)},
)


def install(folder: Path) -> str:
    """Write the distribution into a folder; the PYTHONPATH with which processes find it."""
    info = folder / "memory_plugins-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: memory-plugins\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[dgsweep.methods]\ngreedy = memory_plugins:GREEDY\n")
    places = [str(folder), str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    return os.pathsep.join(place for place in places if place)
