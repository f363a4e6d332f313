"""Interpolation consistency: mixing with a partner, the distance to mixed answers, then the method."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from dgsweep.method.base import Batch, View
from dgsweep.method.context import Context
from dgsweep.method.sampling import draw_partners, symmetric_beta
from dgsweep.method.teacher import AveragedTeacher, ramped_weight
from dgsweep.method.volume import per_sample


def mixed(values: Tensor, partner: Tensor, share: Tensor) -> Tensor:
    """Own times share plus the partner's times 1 - share: values (B, C, X, Y, Z), partner (B,) indices, share (B,)."""
    return torch.lerp(values[partner], values, per_sample(share).to(values.dtype))


def interpolation_gap(logits: Tensor, answer: Tensor) -> Tensor:
    """Mean squared difference of softmax(logits) and an answer, both (B, K+1, X, Y, Z). Verma et al., IJCAI 2019."""
    return (torch.softmax(logits.float(), dim=1) - answer).square().mean()


@final
@dataclass(kw_only=True)
class InterpolationConsistency(AveragedTeacher):
    """Add the distance between the answer for a mixture and the mixture of the teacher's answers."""

    weight: float
    ramp: float
    alpha: float

    def loss(self, ctx: Context, batch: Batch, views: Sequence[View]) -> Mapping[str, Tensor]:
        """ERM's loss, and the interpolation gap on unlabelled patches, each mixed with another of the batch."""
        terms = dict(super().loss(ctx, batch, views))
        if not self.weight or batch.unlabelled is None:
            return terms
        ctx.mark_active()
        image = batch.unlabelled.image
        partner = draw_partners(len(image), ctx.generator)
        share = symmetric_beta(self.alpha, len(image), ctx.generator)
        with torch.no_grad():
            answer = torch.softmax(ctx.forward_with(ctx.modules["teacher"], image)[0].float(), dim=1)
        gap = interpolation_gap(ctx.forward(mixed(image, partner, share))[0], mixed(answer, partner, share))
        terms["consistency"] = ramped_weight(ctx, self.weight, self.ramp) * gap
        return terms
