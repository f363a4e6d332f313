"""Uncertainty of several noisy teacher passes, the gap over certain voxels, then the method."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from dgsweep.method.base import Batch, Method, View
from dgsweep.method.context import Context
from dgsweep.method.teacher import average_decay, average_into, clipped_noise, gaussian_ramp, probability_gap


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
class UncertaintyAwareMeanTeacher(Method):
    """Add the distance to the teacher over voxels where the teacher is certain; the teacher predicts."""

    weight: float
    ramp: float
    decay: float
    noise: float
    passes: int
    threshold: float

    def setup(self, ctx: Context) -> None:
        """A teacher that starts as the student."""
        ctx.twin("teacher")

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
        terms["consistency"] = self.weight * gaussian_ramp(ctx.progress(), self.ramp) * gap
        return terms

    def _noisy(self, ctx: Context, image: Tensor) -> Tensor:
        """The teacher's logits for the image under fresh noise, in float32."""
        shown = image + clipped_noise(image, self.noise, ctx.generator)
        return ctx.forward_with(ctx.modules["teacher"], shown)[0].float()

    def after_step(self, ctx: Context) -> None:
        """The teacher follows."""
        average_into(ctx.modules["teacher"], ctx.network, average_decay(ctx.step, self.decay))

    def predictor(self, ctx: Context) -> nn.Module:
        """The teacher."""
        return ctx.modules["teacher"]
