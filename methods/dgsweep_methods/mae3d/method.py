"""Masked autoencoder: which blocks are hidden, and the loss on them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from dgsweep.method.base import Batch, View
from dgsweep.method.context import Context
from dgsweep.method.corruption import at_voxels, cube_grid
from dgsweep.method.restoration import RestoringMethod, mean_inside


def hidden_blocks(image: Tensor, share: float, block: int, generator: torch.Generator) -> Tensor:
    """Where a patch is hidden: (B, 1, X, Y, Z) booleans, the rounded share of each sample's blocks, one at least.

    Image (B, C, X, Y, Z). Blocks at the end of an axis are cut where the side is no multiple of `block`.
    """
    sides = (block, block, block)
    cells = cube_grid(image, sides)
    total = math.prod(cells)
    count = min(total, max(1, round(share * total))) if share else 0
    order = torch.rand(len(image), total, generator=generator, device=image.device).argsort(dim=1)
    return at_voxels((order < count).view(len(image), 1, *cells), sides, image)


def hidden_error(restored: Tensor, image: Tensor, hidden: Tensor) -> Tensor:
    """Mean squared difference of two images (B, C, X, Y, Z) over the hidden voxels (B, 1, X, Y, Z); 0 if none is."""
    return mean_inside((restored - image).square(), hidden)


@final
@dataclass(kw_only=True)
class MaskedAutoencoder(RestoringMethod):
    """Show the network a patch whose hidden blocks are 0, the mean of a scan, and ask for what was there."""

    mask: float
    block: int

    def loss(self, ctx: Context, batch: Batch, views: Sequence[View]) -> Mapping[str, Tensor]:
        """Mean squared error on hidden voxels only."""
        image = batch.as_shown(views).image
        hidden = hidden_blocks(image, self.mask, self.block, ctx.generator)
        if self.mask:
            ctx.mark_active()
        return {"restoration": hidden_error(self.restored(ctx, image.masked_fill(hidden, 0.0)), image, hidden)}
