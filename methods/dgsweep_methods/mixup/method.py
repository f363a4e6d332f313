"""Mixup between domains."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from dgsweep.method.base import Batch, Method, View
from dgsweep.method.context import Context
from dgsweep.method.pairing import partner_from_other_domain


def draw_beta(alpha: float, generator: torch.Generator) -> float:
    """One number from Beta(alpha, alpha), as a ratio of two gamma variates in double precision."""
    shape = torch.full((2,), alpha, dtype=torch.float64, device=generator.device)
    own, other = torch._standard_gamma(shape, generator=generator).tolist()
    return float(own / (own + other))


@final
@dataclass(kw_only=True)
class Mixup(Method):
    """Average every sample with one of another domain, and the loss over both labels with the same weight."""

    alpha: float
    probability: float

    def views(self, ctx: Context, batch: Batch) -> Sequence[View]:
        """The mixed image twice: with the sample's own label and with its partner's, weighted."""
        skipped = float(torch.rand((), generator=ctx.generator, device=ctx.device)) >= self.probability
        partner, found = partner_from_other_domain(batch.domain, ctx.generator)
        if skipped or not bool(found.any()):
            return super().views(ctx, batch)
        ctx.mark_active()
        weight = draw_beta(self.alpha, ctx.generator)
        mixed = weight * batch.image + (1.0 - weight) * batch.image[partner]
        return [
            View(image=mixed, label=batch.label, weight=weight, tag="own"),
            View(image=mixed, label=batch.label[partner], weight=1.0 - weight, tag="partner"),
        ]

    def loss(self, ctx: Context, batch: Batch, views: Sequence[View]) -> Mapping[str, Tensor]:
        """One forward pass of the mixed image, its loss against each label."""
        del batch
        outputs = ctx.forward(views[0].image)
        terms = [view.weight * ctx.seg_loss(outputs, view.label) for view in views]
        return {"segmentation": torch.stack(terms).sum()}
