"""The pyramid of a network's outputs, its uncertainty-rectified consistency, then the method."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor
from torch.nn import functional

from dgsweep.method.base import Batch, Method, View
from dgsweep.method.context import Context
from dgsweep.method.losses import deep_supervision_weights
from dgsweep.method.teacher import ramped_weight


def pyramid(outputs: Sequence[Tensor], scales: int) -> Tensor:
    """Log-probabilities of at most `scales` supervised outputs at the finest size: (S, B, K+1, X, Y, Z).

    Outputs come finest first; one that the segmentation loss leaves out is left out. Where only one is left, pooled
    versions of it stand in: averages of its logits over cells of 2, 4, 8... voxels.
    """
    taught = [
        out.float() for out, weight in zip(outputs, deep_supervision_weights(len(outputs)), strict=True) if weight
    ]
    finest, size = taught[0], taught[0].shape[2:]
    if len(taught) == 1:
        x, y, z = size
        halved = [2**level for level in range(1, scales)]
        cells = [(max(1, x // part), max(1, y // part), max(1, z // part)) for part in halved]
        taught += [functional.adaptive_avg_pool3d(finest, cell) for cell in cells]
    coarse = [functional.interpolate(out, size=size, mode="trilinear") for out in taught[1:scales]]
    return torch.log_softmax(torch.stack([finest, *coarse]), dim=2)


def rectified_consistency(likely: Tensor) -> Tensor:
    """Distance of each scale to the mean of all, weighted down where it diverges, plus the divergence; a scalar.

    Log-probabilities (S, B, K+1, X, Y, Z). Luo et al., MICCAI 2021, with the divergence of the released code,
    D_s = KL(mean || scale s), and the weight exp(-D_s).
    """
    own = likely.exp()
    mean = own.mean(dim=0)
    divergence = (mean * (mean.clamp_min(1e-12).log() - likely)).sum(dim=2)
    weight = (-divergence).exp()
    distance = (own - mean).square().mean(dim=2)
    axes = (1, 2, 3, 4)
    return ((distance * weight).mean(axes) / (weight.mean(axes) + 1e-8) + divergence.mean(axes)).mean()


@final
@dataclass(kw_only=True)
class PyramidConsistency(Method):
    """Add the rectified consistency of the pyramid on unlabelled patches."""

    weight: float
    ramp: float
    scales: int

    def loss(self, ctx: Context, batch: Batch, views: Sequence[View]) -> Mapping[str, Tensor]:
        """ERM's loss with deep supervision, and the consistency of the same outputs on unlabelled patches."""
        terms = dict(super().loss(ctx, batch, views))
        if not self.weight or batch.unlabelled is None:
            return terms
        ctx.mark_active()
        consistency = rectified_consistency(pyramid(ctx.forward(batch.unlabelled.image), self.scales))
        return {**terms, "consistency": ramped_weight(ctx, self.weight, self.ramp) * consistency}
