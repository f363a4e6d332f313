"""Boxes and dropped channels as pure functions, then the method."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor
from torch.nn import functional

from dgsweep.method.base import Batch, Method, Tap, View
from dgsweep.method.context import Context
from dgsweep.method.intensity import strong_view
from dgsweep.method.losses import SMOOTH
from dgsweep.method.pseudo_labels import confident_labels
from dgsweep.method.sampling import draw_partners
from dgsweep.method.volume import uniform

SHARE = (0.02, 0.4)
"""Part of the patch that a box takes."""
STRETCH = 0.5 * math.log(1.0 / 0.3)
"""Largest logarithm by which a side is longer or shorter than a cube's, before the three are brought to that volume."""


def boxes(n: int, size: Sequence[int], generator: torch.Generator) -> Tensor:
    """One random box a sample, true inside: (n, X, Y, Z). Its volume is U(SHARE) of the patch, its sides are unequal.

    A side that would be longer than the patch is cut to it.
    """
    device = generator.device
    volume = uniform(*SHARE, (n, 1), generator, device)
    stretch = uniform(-STRETCH, STRETCH, (n, 3), generator, device)
    sides = (volume ** (1 / 3) * (stretch - stretch.mean(dim=1, keepdim=True)).exp()).clamp_max(1.0)
    start = uniform(0.0, 1.0, (n, 3), generator, device) * (1.0 - sides)
    inside = torch.ones(n, 1, 1, 1, dtype=torch.bool, device=device)
    for axis, length in enumerate(size):
        place = (torch.arange(length, device=device) + 0.5) / length
        own = (place >= start[:, axis, None]) & (place < (start + sides)[:, axis, None])
        inside = inside & own.view(n, *[-1 if one == axis else 1 for one in range(3)])
    return inside


def confident_dice(logits: Tensor, label: Tensor, sure: Tensor) -> Tensor:
    """One minus Dice with squared sums over the sure voxels of the batch, mean over all classes, background included.

    The background counts: where only background is sure, foreground alone would teach nothing. Logits:
    (B, K+1, X, Y, Z); label and sure: (B, X, Y, Z).
    """
    probability = torch.softmax(logits.float(), dim=1) * sure[:, None]
    truth = functional.one_hot(label, logits.shape[1]).movedim(-1, 1) * sure[:, None]
    overlap, total = (one.sum((0, 2, 3, 4)) for one in (probability * truth, probability.square() + truth))
    return 1.0 - ((2.0 * overlap + SMOOTH) / (total + SMOOTH)).mean()


def drop_channels(feature: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Each channel (B, C, X, Y, Z) of each sample is zero with this probability, the others grow to keep the mean."""
    kept = torch.rand(*feature.shape[:2], 1, 1, 1, generator=generator, device=feature.device) >= share
    return feature * kept / (1.0 - share)


@final
@dataclass(kw_only=True)
class UniMatch(Method):
    """Learn two strong views and one with dropped features from the confident labels of the weak view."""

    weight: float
    confidence: float
    strength: float
    p_cutmix: float
    dropout: float
    layers: tuple[str, ...]

    def setup(self, ctx: Context) -> None:
        """Taps leave features alone but in the pass that is to have gaps."""
        ctx.state["gaps"] = False

    def taps(self) -> Mapping[str, Tap]:
        """Each chosen layer drops channels of its own."""
        return dict.fromkeys(self.layers, self._drop)

    def loss(self, ctx: Context, batch: Batch, views: Sequence[View]) -> Mapping[str, Tensor]:
        """ERM's loss, half of two strong streams and half of the feature stream: Dice of confident voxels."""
        terms = dict(super().loss(ctx, batch, views))
        if not self.weight or batch.unlabelled is None:
            return terms
        image = batch.unlabelled.image
        with torch.no_grad():
            label, sure = confident_labels(ctx.forward_with(ctx.network, image)[0], self.confidence)
        if bool(sure.any()):
            ctx.mark_active()
        ctx.state["gaps"] = True
        with_gaps = ctx.forward(image)[0]
        ctx.state["gaps"] = False
        streams = torch.stack([self._strong_stream(ctx, image, label, sure) for _ in range(2)])
        terms["strong"] = 0.25 * self.weight * streams.sum()
        terms["features"] = 0.5 * self.weight * confident_dice(with_gaps, label, sure)
        return terms

    def _strong_stream(self, ctx: Context, image: Tensor, label: Tensor, sure: Tensor) -> Tensor:
        """Loss of one strong view, with boxes of other samples where drawn: image, label and confidence alike."""
        n = len(image)
        partner = draw_partners(n, ctx.generator)
        drawn = torch.rand(n, 1, 1, 1, generator=ctx.generator, device=image.device) < self.p_cutmix
        inside = boxes(n, image.shape[2:], ctx.generator) & drawn
        strong = strong_view(image, self.strength, ctx.generator)
        mixed = torch.where(inside[:, None], strong[partner], strong)
        label, sure = (torch.where(inside, one[partner], one) for one in (label, sure))
        return confident_dice(ctx.forward(mixed)[0], label, sure)

    def _drop(self, feature: Tensor, ctx: Context) -> Tensor:
        return drop_channels(feature, self.dropout, ctx.generator) if ctx.state["gaps"] else feature
