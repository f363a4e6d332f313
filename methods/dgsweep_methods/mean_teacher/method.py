"""Mean teacher: supervised loss, consistency with the teacher, and the teacher's average."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from dgsweep.method.base import Batch, View
from dgsweep.method.context import Context
from dgsweep.method.teacher import AveragedTeacher, clipped_noise, probability_gap, ramped_weight


@final
@dataclass(kw_only=True)
class MeanTeacher(AveragedTeacher):
    """Add the distance between student and teacher on unlabelled patches; the teacher predicts."""

    weight: float
    ramp: float
    noise: float

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
        terms["consistency"] = ramped_weight(ctx, self.weight, self.ramp) * gap
        return terms
