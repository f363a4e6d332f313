"""Uncertainty of several noisy teacher passes, the gap over certain voxels, then the method."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from dgsweep.method.base import Batch, View
from dgsweep.method.context import Context
from dgsweep.method.teacher import AveragedTeacher, clipped_noise, gaussian_ramp, probability_gap, ramped_weight


def certain(probability: Tensor, share: float) -> Tensor:
    """Where the entropy of probabilities (B, K+1, X, Y, Z) is below share * ln(K+1): (B, X, Y, Z) booleans.

    Yu et al., MICCAI 2019: the greatest entropy of two classes, ln 2, is the paper's U_max.
    """
    return torch.special.entr(probability).sum(dim=1) < share * math.log(probability.shape[1])


def masked_mean(gap: Tensor, mask: Tensor) -> Tensor:
    """Mean of a gap (B, X, Y, Z) over the voxels of a mask of the same shape; 0 where the mask is empty."""
    return (gap * mask).sum() / mask.sum().clamp_min(1)


@final
@dataclass(kw_only=True)
class UncertaintyAwareMeanTeacher(AveragedTeacher):
    """Add the distance to the teacher over voxels where the teacher is certain; the teacher predicts."""

    weight: float
    ramp: float
    noise: float
    passes: int
    threshold: float

    def loss(self, ctx: Context, batch: Batch, views: Sequence[View]) -> Mapping[str, Tensor]:
        """ERM's loss, and the mean squared gap of probabilities on certain voxels of unlabelled patches."""
        terms = dict(super().loss(ctx, batch, views))
        if not self.weight or batch.unlabelled is None:
            return terms
        image = batch.unlabelled.image
        with torch.no_grad():
            teacher = self._noisy(ctx, image)
            mean = sum(torch.softmax(self._noisy(ctx, image), dim=1) for _ in range(self.passes)) / self.passes
            share = self.threshold + (1.0 - self.threshold) * gaussian_ramp(ctx.progress(), 1.0)
            mask = certain(torch.as_tensor(mean), share)
        if bool(mask.any()):
            ctx.mark_active()
        gap = masked_mean(probability_gap(ctx.forward(image)[0], teacher), mask)
        terms["consistency"] = ramped_weight(ctx, self.weight, self.ramp) * gap
        return terms

    def _noisy(self, ctx: Context, image: Tensor) -> Tensor:
        """The teacher's logits for the image under fresh noise, in float32."""
        shown = image + clipped_noise(image, self.noise, ctx.generator)
        return ctx.forward_with(ctx.modules["teacher"], shown)[0].float()
