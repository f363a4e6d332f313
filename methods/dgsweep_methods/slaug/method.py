"""SLAug: remapping of a region and saliency as pure functions, then the method."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor
from torch.nn import functional

from dgsweep.method.base import Batch, Method, View
from dgsweep.method.context import Context
from dgsweep.method.corruption import bezier
from dgsweep.method.volume import bspline_field, uniform, unit_range

DARK = 0.01
"""Voxels up to this value of the image in [0, 1] keep it in the local augmentation (released code)."""


def quantiles(value: Tensor, mask: Tensor, q: Sequence[float]) -> Tensor:
    """Linear quantiles of the masked values of each row (R, N) -> (R, len(q)); 0 for a row without any."""
    ordered = value.masked_fill(~mask, torch.inf).sort(1).values
    place = torch.tensor(q, device=value.device) * (mask.sum(1, keepdim=True) - 1).clamp_min(0)
    low, high = ordered.gather(1, place.floor().long()), ordered.gather(1, place.ceil().long())
    return torch.where(mask.any(1, keepdim=True), low + (place - place.floor()) * (high - low), 0.0)


def remap(
    unit: Tensor, mask: Tensor, falling: Tensor, location: float, scale: float, generator: torch.Generator
) -> Tensor:
    """Curve on the range of the masked values, then factor and shift, which keep 20 to 80 % of them in [0, 1].

    Image in [0, 1] and region: (R, N); falling: (R,). Values outside of the region are meaningless.
    """
    some, rows, device = mask.any(1, keepdim=True), len(unit), unit.device
    low = torch.where(some, unit.masked_fill(~mask, torch.inf).amin(1, keepdim=True), 0.0)
    high = torch.where(some, unit.masked_fill(~mask, -torch.inf).amax(1, keepdim=True), 1.0)
    place = ((unit - low) / (high - low).clamp_min(1e-8)).clamp(0, 1)
    curved = low + (high - low) * bezier(place, uniform(0, 1, (rows, 2, 2), generator, device), falling)
    factor = 1 + (scale * torch.randn(rows, 1, generator=generator, device=device)).clamp(-scale, scale)
    shift = location * torch.randn(rows, 1, generator=generator, device=device)
    lower, upper = quantiles(curved, mask, (0.2, 0.8)).split(1, dim=1)
    shift = torch.minimum(torch.maximum(shift, -lower), 1 - upper)
    return (curved * factor + shift).clamp(0, 1)


def saliency(gradient: Tensor, grid: int) -> Tensor:
    """Size of the input gradient (B, C, X, Y, Z), pooled to grid^3 cells, smooth again, (B, 1, X, Y, Z) in [0, 1]."""
    size = gradient.square().mean(1, keepdim=True).sqrt()
    x, y, z = gradient.shape[2:]
    return unit_range(bspline_field(functional.adaptive_avg_pool3d(size, grid), (x, y, z)))


@final
@dataclass(kw_only=True)
class SLAug(Method):
    """Train on the globally augmented image and on its fusion with the structure-wise augmented one."""

    grid: int
    p_invert: float
    location: float
    scale: float

    def views(self, ctx: Context, batch: Batch) -> Sequence[View]:
        """The global augmentation, then the local one: the background's curve falls, a structure's at times."""
        ctx.mark_active()
        image, label = batch.image, batch.label
        rows = image.flatten(0, 1).flatten(1)
        classes = label.flatten(1).repeat_interleave(image.shape[1], 0)
        low, span = rows.amin(1, keepdim=True), (rows.amax(1) - rows.amin(1)).clamp_min(1e-8)[:, None]
        unit = (rows - low) / span
        never = torch.zeros(len(rows), dtype=torch.bool, device=rows.device)

        def region(mask: Tensor, falling: Tensor) -> Tensor:
            return remap(unit, mask, falling, self.location, self.scale, ctx.generator)

        globally, locally = region(torch.ones_like(unit, dtype=torch.bool), never), unit
        for index in torch.unique(label).tolist():
            falling = torch.rand(len(rows), generator=ctx.generator, device=rows.device) < self.p_invert
            mask = classes == index
            locally = torch.where(mask, region(mask, ~never if index == 0 else falling), locally)
        locally = torch.where(unit <= DARK, unit, locally)
        return [
            View(image=(each * span + low).reshape(image.shape), label=label, tag=tag)
            for each, tag in ((globally, "global"), (locally, "local"))
        ]

    def loss(self, ctx: Context, batch: Batch, views: Sequence[View]) -> Mapping[str, Tensor]:
        """Segmentation of the global view, and of its fusion with the local one: global where it is salient."""
        whole, local = views[0].image.detach().requires_grad_(), views[1].image
        first = ctx.seg_loss(ctx.forward(whole), batch.label)
        (gradient,) = torch.autograd.grad(first, whole, retain_graph=True)
        share = saliency(gradient, self.grid)
        fused = share * whole.detach() + (1 - share) * local
        return {"segmentation": first, "fused": ctx.seg_loss(ctx.forward(fused), batch.label)}
