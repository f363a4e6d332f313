"""GIN + IPA: blending mask and consistency as pure functions, then the method."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor
from torch.nn import functional

from dgsweep.method.base import Batch, Method, View
from dgsweep.method.context import Context
from dgsweep.method.random_conv import blend, random_network
from dgsweep.method.volume import bspline_field, unit_range


def blending_mask(like: Tensor, cells: int, generator: torch.Generator) -> Tensor:
    """Smooth random mask (B, 1, X, Y, Z) from 0 to 1: Gaussian control points under quadratic B-splines."""
    control = torch.randn(len(like), 1, cells, cells, cells, generator=generator, device=like.device)
    x, y, z = like.shape[2:]
    return unit_range(bspline_field(control, (x, y, z)))


def pseudo_correlate(first: Tensor, second: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """IPA: one image inside the mask and the other outside, and the reverse; images (B, C, X, Y, Z)."""
    return mask * first + (1 - mask) * second, (1 - mask) * first + mask * second


def consistency_loss(logits: Sequence[Tensor]) -> Tensor:
    """KL(mean || p_i), averaged over views, samples, classes and voxels; each logits (B, K+1, X, Y, Z)."""
    log_p = torch.log_softmax(torch.stack([each.float() for each in logits]), dim=2)
    middle = log_p.exp().mean(0).expand_as(log_p)
    return functional.kl_div(log_p, middle, reduction="none").mean()


@final
@dataclass(kw_only=True)
class GinIpa(Method):
    """Segment the first of three differently coloured views and make all three agree."""

    layers: int
    channels: int
    kernels: tuple[int, ...]
    cells: int
    consistency: float

    def views(self, ctx: Context, batch: Batch) -> Sequence[View]:
        """Two blends of the first two colourings, and the third colouring as it is."""
        ctx.mark_active()
        first, second, third = (self._colour(ctx, batch.image) for _ in range(3))
        mask = blending_mask(batch.image, self.cells, ctx.generator)
        return [View(image=each, label=batch.label) for each in (*pseudo_correlate(first, second, mask), third)]

    def _colour(self, ctx: Context, image: Tensor) -> Tensor:
        alpha = torch.rand(len(image), generator=ctx.generator, device=image.device)
        return blend(image, random_network(image, self.layers, self.channels, self.kernels, ctx.generator), alpha)

    def loss(self, ctx: Context, batch: Batch, views: Sequence[View]) -> Mapping[str, Tensor]:
        """Segmentation of the first view; consistency of all at the finest output."""
        outputs = [ctx.forward(view.image) for view in views]
        agreement = consistency_loss([output[0] for output in outputs])
        return {"segmentation": ctx.seg_loss(outputs[0], batch.label), "consistency": self.consistency * agreement}
