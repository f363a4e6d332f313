"""Bias field, its use on an image and the contour term as pure functions, then the method."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor
from torch.nn import functional

from dgsweep.method.base import Batch, Method, View
from dgsweep.method.consistency import kl_divergence, rms_normalised
from dgsweep.method.context import Context

POINT_RMS = 0.25
"""Root mean square of control points of unit L2 norm on the paper's 4 x 4 grid; in 3D a unit norm would be weaker."""


def control_grid(spacing: float) -> int:
    """Control points an axis: those of every cell and one more on each side."""
    return math.ceil(1.0 / spacing) + 3


def spline_basis(size: int, spacing: float) -> Tensor:
    """Cubic B-spline weights (size, control points) at the voxel centres of an axis."""
    position = (torch.arange(size) + 0.5) / size / spacing
    away = (position[:, None] - (torch.arange(control_grid(spacing)) - 1)).abs()
    near = 2 / 3 - away**2 + away**3 / 2
    return torch.where(away < 1, near, (2 - away).clamp_min(0.0) ** 3 / 6)


def bias_field(points: Tensor, shape: Sequence[int], spacing: float, epsilon: float) -> Tensor:
    """Exp of a cubic B-spline, clamped to [1 - epsilon, 1 + epsilon]: (B, 1, X, Y, Z) from points (B, 1, n, n, n)."""
    bases = [spline_basis(size, spacing).to(points.device) for size in shape]
    log_field = torch.einsum("bcijk,xi,yj,zk->bcxyz", points, *bases)
    return log_field.exp().clamp(1.0 - epsilon, 1.0 + epsilon)


def apply_bias(image: Tensor, field: Tensor) -> Tensor:
    """Multiply the image (B, C, X, Y, Z), counted from its darkest voxel; a z-scored zero is no signal void."""
    darkest = image.amin(dim=(2, 3, 4), keepdim=True)
    return darkest + (image - darkest) * field


def contour_distance(reference: Tensor, logits: Tensor) -> Tensor:
    """Mean squared difference of the Sobel gradients of foreground probabilities; logits (B, K+1, X, Y, Z).

    Normalised so that a structure that does not change along z gives the value of the 2D Sobel filter.
    """
    apart = (torch.softmax(logits.float(), dim=1) - torch.softmax(reference.float(), dim=1))[:, 1:]
    smooth, edge = torch.tensor([1.0, 2.0, 1.0]), torch.tensor([1.0, 0.0, -1.0])
    parts = [torch.stack([edge if axis == at else smooth for at in range(3)]) for axis in range(3)]
    kernels = torch.stack([torch.einsum("i,j,k->ijk", *part) / 4 for part in parts])[:, None].to(apart)
    return functional.conv3d(apart.flatten(0, 1)[:, None], kernels, padding=1).square().mean()


@final
@dataclass(kw_only=True)
class AdvBias(Method):
    """Supervised loss on the image, consistency with the image under its worst bias field."""

    weight: float
    epsilon: float
    spacing: float
    step_size: float
    steps: int
    contour: float

    def loss(self, ctx: Context, batch: Batch, views: Sequence[View]) -> Mapping[str, Tensor]:
        """Find the field for the one view of the batch and ask for the prediction without it."""
        if self.weight == 0.0:
            return super().loss(ctx, batch, views)
        ctx.mark_active()
        (view,) = views
        outputs = ctx.forward(view.image)
        wanted = outputs[0].detach()
        grid = (len(view.image), 1, *[control_grid(self.spacing)] * 3)
        points = POINT_RMS * rms_normalised(2 * torch.rand(grid, generator=ctx.generator, device=ctx.device) - 1)
        for _ in range(self.steps):
            points.requires_grad_()
            (slope,) = torch.autograd.grad(self._distance(ctx, wanted, view.image, points), points)
            points = (points + self.step_size * POINT_RMS * rms_normalised(slope)).detach()
        return {
            "segmentation": ctx.seg_loss(outputs, view.label),
            "consistency": self.weight * self._distance(ctx, wanted, view.image, points),
        }

    def _distance(self, ctx: Context, wanted: Tensor, image: Tensor, points: Tensor) -> Tensor:
        field = bias_field(points, image.shape[2:], self.spacing, self.epsilon)
        shown = ctx.forward(apply_bias(image, field))[0]
        return kl_divergence(wanted, shown) + self.contour * contour_distance(wanted, shown)
