"""SimCLR: crops and the contrast as pure functions, then the method."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional

from dgsweep.method.base import Batch, Method, Tap, View
from dgsweep.method.context import Context
from dgsweep.method.features import observe
from dgsweep.method.intensity import strong_view
from dgsweep.method.volume import resampled_box, uniform

SHORT = 1e-6
"""A vector shorter than this is not stretched to unit length."""


def random_crop(image: Tensor, least: float, generator: torch.Generator) -> Tensor:
    """A box of each sample (B, C, X, Y, Z), `least` to all of its volume, resampled to the patch's size."""
    n = len(image)
    side = uniform(least, 1.0, (n,), generator, image.device) ** (1 / 3)
    offset = uniform(-0.5, 0.5, (n, 3), generator, image.device) * (1.0 - side)[:, None]
    return resampled_box(image, offset, side[:, None].expand(n, 3))


def contrast(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """NT-Xent of two views (B, D) of the same samples: CE of each view with the other one of its sample.

    Among all other views of the batch, by cosine over temperature; in float32.
    """
    vectors = functional.normalize(torch.cat([first, second]).float(), dim=1, eps=SHORT)
    itself = torch.eye(len(vectors), dtype=torch.bool, device=vectors.device)
    likeness = (vectors @ vectors.T / temperature).masked_fill(itself, -torch.inf)
    return functional.cross_entropy(likeness, torch.arange(len(vectors), device=vectors.device).roll(len(first)))


@final
@dataclass(kw_only=True)
class SimClr(Method):
    """Compare the pooled bottleneck features of two random views of each patch."""

    temperature: float
    projection: int
    crop: float
    strength: float

    def taps(self) -> Mapping[str, Tap]:
        """Look at the features of the lowest resolution."""
        return {"bottleneck": observe}

    def setup(self, ctx: Context) -> None:
        """A head of two layers, as wide as the features, with a norm over all views of a batch as in the release."""
        channels = ctx.tap_channels("bottleneck")
        norm = nn.BatchNorm1d(channels, track_running_stats=False)
        layers = (nn.Linear(channels, channels), norm, nn.ReLU(), nn.Linear(channels, self.projection))
        ctx.add_module("projector", nn.Sequential(*layers))

    def loss(self, ctx: Context, batch: Batch, views: Sequence[View]) -> Mapping[str, Tensor]:
        """The contrast of two views, one forward pass each."""
        ctx.mark_active()
        image = batch.as_shown(views).image
        pooled = torch.cat([self._pooled(ctx, image) for _ in range(2)])
        first, second = ctx.modules["projector"](pooled).chunk(2)
        return {"contrast": contrast(first, second, self.temperature)}

    def _pooled(self, ctx: Context, image: Tensor) -> Tensor:
        """Mean features (B, C') of a random view of the patches (B, C, X, Y, Z)."""
        ctx.forward(strong_view(random_crop(image, self.crop, ctx.generator), self.strength, ctx.generator))
        return ctx.features["bottleneck"].float().mean(dim=(2, 3, 4))
