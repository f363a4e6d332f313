"""Interpolation consistency: mixing with a partner, the distance to mixed answers, then the method."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from dgsweep.method.base import Batch, Method, View
from dgsweep.method.context import Context
from dgsweep.method.sampling import draw_partners, symmetric_beta
from dgsweep.method.teacher import average_decay, average_into, gaussian_ramp
from dgsweep.method.volume import per_sample


def mixed(values: Tensor, partner: Tensor, share: Tensor) -> Tensor:
    """Own times share plus the partner's times 1 - share: values (B, C, X, Y, Z), partner (B,) indices, share (B,)."""
    return torch.lerp(values[partner], values, per_sample(share).to(values.dtype))


def interpolation_gap(logits: Tensor, answer: Tensor) -> Tensor:
    """Mean squared difference of softmax(logits) and an answer, both (B, K+1, X, Y, Z). Verma et al., IJCAI 2019."""
    return (torch.softmax(logits.float(), dim=1) - answer).square().mean()


@final
@dataclass(kw_only=True)
class InterpolationConsistency(Method):
    """Add the distance between the answer for a mixture and the mixture of the teacher's answers."""

    weight: float
    ramp: float
    decay: float
    alpha: float

    def setup(self, ctx: Context) -> None:
        """A teacher that starts as the student."""
        ctx.twin("teacher")

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
        terms["consistency"] = self.weight * gaussian_ramp(ctx.progress(), self.ramp) * gap
        return terms

    def after_step(self, ctx: Context) -> None:
        """The teacher follows."""
        average_into(ctx.modules["teacher"], ctx.network, average_decay(ctx.step, self.decay))

    def predictor(self, ctx: Context) -> nn.Module:
        """The teacher."""
        return ctx.modules["teacher"]
