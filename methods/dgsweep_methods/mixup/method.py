"""Mixup between domains."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from dgsweep.method.base import Batch, BatchSpec, Method, View
from dgsweep.method.context import Context
from dgsweep.method.sampling import coin, draw_partners, symmetric_beta


@final
@dataclass(kw_only=True)
class Mixup(Method):
    """Average every sample with one of another domain, and the loss over both labels with the same weight."""

    alpha: float
    probability: float

    def batch_spec(self) -> BatchSpec:
        """Partners come from another domain of the batch."""
        return BatchSpec(min_domains=2)

    def views(self, ctx: Context, batch: Batch) -> Sequence[View]:
        """The mixed image twice: with the sample's own label and with its partner's, weighted."""
        partner = draw_partners(len(batch.domain), ctx.generator, batch.domain)
        if not coin(self.probability, ctx.generator) or bool((batch.domain[partner] == batch.domain).any()):
            return super().views(ctx, batch)
        ctx.mark_active()
        weight = float(symmetric_beta(self.alpha, 1, ctx.generator))
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
