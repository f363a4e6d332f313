"""Mean teacher: supervised loss, consistency with the teacher, and the teacher's average."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from dgsweep.method.base import Batch, Method, View
from dgsweep.method.context import Context
from dgsweep.method.teacher import average_decay, average_into, clipped_noise, gaussian_ramp, probability_gap


@final
@dataclass(kw_only=True)
class MeanTeacher(Method):
    """Add the distance between student and teacher on unlabelled patches; the teacher predicts."""

    weight: float
    ramp: float
    decay: float
    noise: float

    def setup(self, ctx: Context) -> None:
        """A teacher that starts as the student."""
        ctx.twin("teacher")

    def loss(self, ctx: Context, batch: Batch, views: Sequence[View]) -> Mapping[str, Tensor]:
        """ERM's loss, and the mean squared gap of probabilities on unlabelled patches."""
        terms = dict(super().loss(ctx, batch, views))
        if not self.weight or batch.unlabelled is None:
            return terms
        ctx.mark_active()
        image = batch.unlabelled.image
        with torch.no_grad():
            shown = image + clipped_noise(image, self.noise, ctx.generator)
            teacher = ctx.forward_with(ctx.modules["teacher"], shown)[0]
        gap = probability_gap(ctx.forward(image)[0], teacher).mean()
        terms["consistency"] = self.weight * gaussian_ramp(ctx.progress(), self.ramp) * gap
        return terms

    def after_step(self, ctx: Context) -> None:
        """The teacher follows."""
        average_into(ctx.modules["teacher"], ctx.network, average_decay(ctx.step, self.decay))

    def predictor(self, ctx: Context) -> nn.Module:
        """The teacher."""
        return ctx.modules["teacher"]
