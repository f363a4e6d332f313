"""Methods that run out of memory or hang on purpose, as a stranger's distribution that command lines find."""

import os
import time
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


@dataclass(kw_only=True)
class Sleeper(Method):
    """Sleeps for ever at step 3; given a file, only while the file is there, which it removes."""

    once: str

    def after_step(self, ctx: Context) -> None:
        if ctx.step == 3 and (not self.once or Path(self.once).exists()):
            if self.once:
                Path(self.once).unlink()
            time.sleep(1e6)


SLEEPER = MethodDeclaration(
    name="sleeper",
    recipe_version=1,
    summary="for tests",
    implementation="memory_plugins:Sleeper",
    hyperparameters={"once": Hyperparameter(default="")},
)
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
    (info / "entry_points.txt").write_text(
        "[dgsweep.methods]\ngreedy = memory_plugins:GREEDY\nsleeper = memory_plugins:SLEEPER\n"
    )
    places = [str(folder), str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    return os.pathsep.join(place for place in places if place)
