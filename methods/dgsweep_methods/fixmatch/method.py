"""FixMatch's loss with what is confident, the two formulas that SSL4MIS ships in its place, then the method."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor
from torch.nn import functional

from dgsweep.method.base import Batch, Method, View
from dgsweep.method.context import Context
from dgsweep.method.intensity import strong_view
from dgsweep.method.losses import segmentation_loss, soft_dice_loss
from dgsweep.method.pseudo_labels import confident_labels
from dgsweep.method.teacher import ramped_weight


def confident_loss(logits: Tensor, label: Tensor, sure: Tensor) -> Tensor:
    """Cross-entropy, 0 where not sure and averaged over all voxels (Sohn et al., eq. 4), plus Dice of sure voxels.

    Logits: (B, K+1, X, Y, Z); label and sure: (B, X, Y, Z).
    """
    each = functional.cross_entropy(logits.float(), label, reduction="none")
    return (each * sure).mean() + soft_dice_loss(logits, label, sure)


def shipped_labels(weak: Tensor, confidence: float) -> Tensor:
    """SSL4MIS: where (p - min p) / max p over the classes of a voxel stays below, the label is 0, not left out."""
    p = torch.softmax(weak.detach().float(), dim=1)
    low, high = p.amin(dim=1, keepdim=True), p.amax(dim=1, keepdim=True)
    return (p * ((p - low) / high > confidence)).argmax(dim=1)


def complementary_loss(weak: Tensor, strong: Tensor) -> Tensor:
    """SSL4MIS: a^2 CE(1 - p, least likely class of the weak view), p of the strong view, 1 - p taken as logits.

    a is one minus the mean entropy of each class's probability map over space, relative to its largest value.
    """
    p = torch.softmax(strong.float(), dim=1)
    maps = p.flatten(2) / p.flatten(2).sum(dim=2, keepdim=True)
    focus = 1.0 - torch.special.entr(maps).sum(dim=2).mean() / math.log(maps.shape[2])
    return focus.square() * functional.cross_entropy(1.0 - p, weak.detach().argmin(dim=1))


@final
@dataclass(kw_only=True)
class FixMatch(Method):
    """Learn the strong view of unlabelled patches from the confident labels of the weak view."""

    weight: float
    ramp: float
    confidence: float
    strength: float
    variant: str

    def loss(self, ctx: Context, batch: Batch, views: Sequence[View]) -> Mapping[str, Tensor]:
        """ERM's loss, and that of the strong view against the weak view's labels."""
        terms = dict(super().loss(ctx, batch, views))
        if not self.weight or batch.unlabelled is None:
            return terms
        image = batch.unlabelled.image
        with torch.no_grad():
            weak = ctx.forward_with(ctx.network, image)[0]
        strong = ctx.forward(strong_view(image, self.strength, ctx.generator))[0]
        label, sure = confident_labels(weak, self.confidence)
        if self.variant == "as_shipped":
            ctx.mark_active()
            free = segmentation_loss(strong, shipped_labels(weak, self.confidence)) + complementary_loss(weak, strong)
        else:
            if bool(sure.any()):
                ctx.mark_active()
            free = confident_loss(strong, label, sure)
        terms["unlabelled"] = ramped_weight(ctx, self.weight, self.ramp) * free
        return terms
