"""VoCo: crops, overlaps and the three parts of its loss as pure functions, then the method."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional

from dgsweep.method.base import Batch, Method, Tap, View
from dgsweep.method.context import Context
from dgsweep.method.features import observe
from dgsweep.method.volume import resampled_box, uniform

SMALL = 1e-6
"""Keeps the logarithm finite (released code), and vectors that are shorter from being stretched to unit length."""


def base_corners(grid: Sequence[int], device: torch.device) -> Tensor:
    """Low corners of the cells of a grid over the patch, as shares of its sides: (K, 3)."""
    return torch.cartesian_prod(*[torch.arange(cells, device=device) / cells for cells in grid])


def cropped(image: Tensor, corner: Tensor, sides: Tensor) -> Tensor:
    """One box of each sample (B, C, X, Y, Z), resampled to the patch's size.

    Args:
        image: the patches.
        corner: (B, 3), low corner of the box as a share of the patch's sides.
        sides: (3,), sides of all boxes, as such shares.
    """
    return resampled_box(image, corner + sides / 2 - 0.5, sides.expand(len(image), 3))


def overlaps(targets: Tensor, bases: Tensor, sides: Tensor) -> Tensor:
    """Share of each target box that lies in each base box, all with the same sides (3,): (B, T, K).

    Low corners: targets (B, T, 3), bases (K, 3).
    """
    common = (sides - (targets[:, :, None] - bases).abs()).clamp_min(0.0)
    return (common / sides).prod(dim=-1)


def likeness(first: Tensor, second: Tensor) -> Tensor:
    """Cosines of vectors (B, M, D) with others (B, N, D) of the same sample, at least 0: (B, M, N), in float32."""
    one, other = (functional.normalize(vectors.float(), dim=2, eps=SMALL) for vectors in (first, second))
    return functional.relu(one @ other.transpose(1, 2))


def position_loss(found: Tensor, overlap: Tensor) -> tuple[Tensor, Tensor]:
    """How far likeness is from overlap, both (B, T, K) in [0, 1].

    Returns:
        The mean of -log(1 - distance) weighted by the overlap, and the mean square where there is no overlap (0 where
        every pair has some).
    """
    near = -(1.0 - (overlap - found).abs() + SMALL).log() * overlap
    apart = overlap == 0.0
    return near.sum() / overlap.sum(), (found.square() * apart).sum() / apart.sum().clamp_min(1)


def mean_likeness(bases: Tensor) -> Tensor:
    """Mean likeness of two different vectors of a sample (B, K, D): 0 where all are orthogonal."""
    pairs = torch.ones(bases.shape[1], bases.shape[1], dtype=torch.bool, device=bases.device).triu(diagonal=1)
    return likeness(bases, bases)[:, pairs].mean()


@final
@dataclass(kw_only=True)
class VoCo(Method):
    """Compare the pooled bottleneck features of random crops with those of a grid of crops."""

    grid: tuple[int, int, int]
    targets: int
    projection: int
    orthogonality: float

    def taps(self) -> Mapping[str, Tap]:
        """Look at the features of the lowest resolution."""
        return {"bottleneck": observe}

    def setup(self, ctx: Context) -> None:
        """A head of three layers, with norms over all crops of a batch as in the release, which keep them apart."""
        width = self.projection
        norms = [nn.BatchNorm1d(width, affine=False, track_running_stats=False) for _ in range(2)]
        first = nn.Linear(ctx.tap_channels("bottleneck"), width)
        layers = (first, norms[0], nn.ReLU(), nn.Linear(width, width), norms[1], nn.ReLU(), nn.Linear(width, width))
        ctx.add_module("projector", nn.Sequential(*layers))

    def loss(self, ctx: Context, batch: Batch, views: Sequence[View]) -> Mapping[str, Tensor]:
        """Likeness of random crops to base crops against their overlap, and likeness of base crops to each other."""
        ctx.mark_active()
        image = batch.as_shown(views).image
        sides = 1.0 / torch.tensor(self.grid, device=image.device)
        bases = base_corners(self.grid, image.device)
        targets = uniform(0.0, 1.0, (len(image), self.targets, 3), ctx.generator, image.device) * (1.0 - sides)
        corners = torch.cat([bases.expand(len(image), -1, -1), targets], dim=1)
        vectors = self._projected(ctx, image, corners, sides)
        here, there = vectors.split([len(bases), self.targets], dim=1)
        near, apart = position_loss(likeness(there, here.detach()), overlaps(targets, bases, sides))
        terms = {"overlap": near, "no_overlap": apart}
        if self.orthogonality:
            terms["orthogonality"] = self.orthogonality * mean_likeness(here)
        return terms

    def _projected(self, ctx: Context, image: Tensor, corners: Tensor, sides: Tensor) -> Tensor:
        """(B, M, D) of the crops at low corners (B, M, 3), one forward pass for each of the M."""
        pooled = []
        for corner in corners.unbind(dim=1):
            ctx.forward(cropped(image, corner, sides))
            pooled.append(ctx.features["bottleneck"].float().mean(dim=(2, 3, 4)))
        projected: Tensor = ctx.modules["projector"](torch.cat(pooled))
        return projected.unflatten(0, (len(pooled), -1)).transpose(0, 1)
