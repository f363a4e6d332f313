"""Uncertain regions, prototypes and their contrast, restoration, then the method. An interpretation: see the card."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor
from torch.nn import functional

from dgsweep.method.base import Batch, View
from dgsweep.method.context import Context
from dgsweep.method.corruption import cube_draws
from dgsweep.method.restoration import RestoringMethod, mean_inside
from dgsweep_methods.dual_ssl.corruption import CUBES, corrupted

BAND = 3
"""Voxels on either side of a border that count as uncertain."""
SMALL = 1e-3
"""A feature vector shorter than this is not stretched to unit length."""


def near_border(label: Tensor, reach: int) -> Tensor:
    """Where a voxel of another class is at most `reach` voxels away along each axis: (B, X, Y, Z) booleans."""
    high, low = label[:, None].float(), -label[:, None].float()
    for axis in range(3):
        pad = [reach if other == axis else 0 for other in range(3)]
        kernel = [2 * width + 1 for width in pad]
        high, low = (functional.max_pool3d(value, kernel, stride=1, padding=pad) for value in (high, low))
    return (high != -low)[:, 0]


def uncertain(logits: Tensor, label: Tensor, share: float) -> Tensor:
    """Where the entropy of (B, K+1, X, Y, Z) is above share * ln(K+1), and the band along borders: (B, X, Y, Z)."""
    entropy = torch.special.entr(torch.softmax(logits.detach().float(), dim=1)).sum(dim=1)
    return (entropy > share * math.log(logits.shape[1])) | near_border(label, BAND)


def draw_voxels(mask: Tensor, n: int, generator: torch.Generator) -> Tensor:
    """Flat indices (B, n) of voxels of each sample: half from the mask (B, X, Y, Z) while it lasts, half anywhere."""
    flat = mask.flatten(1)
    half = min(n // 2, flat.shape[1])
    scores = torch.rand(2, *flat.shape, generator=generator, device=mask.device)
    return torch.cat([(scores[0] + flat.float()).topk(half).indices, scores[1].topk(half).indices], dim=1)


def class_sums(feature: Tensor, label: Tensor, n_classes: int) -> Tensor:
    """Sum of the unit vectors of a feature map (B, C, X, Y, Z) and their number, for each class: (K+1, C + 1)."""
    vectors = functional.normalize(feature.float(), dim=1, eps=SMALL).movedim(1, -1).flatten(0, 3)
    own = functional.one_hot(label.flatten().long(), n_classes).to(vectors.dtype)
    return own.T @ functional.pad(vectors, (0, 1), value=1.0)


def prototype_contrast(vectors: Tensor, label: Tensor, sums: Tensor, temperature: float) -> Tensor:
    """CE of vectors (N, C) with their class (N,), by cosine to the mean direction of each class, over temperature.

    The mean over classes of the mean over a class's vectors: else all would drift to the most frequent class. Sums are
    those of `class_sums`, (K+1, C + 1); a class that was never seen takes no part.
    """
    prototypes = functional.normalize(sums[:, :-1], dim=1)
    likeness = functional.normalize(vectors.float(), dim=1, eps=SMALL) @ prototypes.T / temperature
    losses = functional.cross_entropy(likeness.masked_fill(sums[:, -1] == 0, -math.inf), label.long(), reduction="none")
    count = torch.bincount(label, minlength=len(sums))
    return (losses / count[label]).sum() / (count > 0).sum()


def restoration_loss(restored: Tensor, image: Tensor, mask: Tensor) -> Tensor:
    """Mean absolute difference of two images (B, C, X, Y, Z) over the voxels of a mask (B, 1, X, Y, Z); 0 if empty."""
    return mean_inside((restored - image).abs(), mask)


@final
@dataclass(kw_only=True)
class DualSelfSupervision(RestoringMethod):
    """Contrast decoder features with class prototypes, and restore what was corrupted where the network is unsure."""

    contrast: float
    restoration: float
    ramp: float
    temperature: float
    threshold: float
    memory: int
    voxels: int
    rate: float

    def loss(self, ctx: Context, batch: Batch, views: Sequence[View]) -> Mapping[str, Tensor]:
        """ERM's loss, the contrast, and the restoration in a second forward pass."""
        shown = batch.as_shown(views)
        outputs = ctx.forward(shown.image)
        terms = {"segmentation": ctx.seg_loss(outputs, shown.label)}
        if not (self.contrast or self.restoration):
            return terms
        full = ctx.ramp(0.0, self.ramp)
        if full:
            ctx.mark_active()
        unsure = uncertain(outputs[0], shown.label, self.threshold)
        if self.contrast:
            contrast = self._contrast(ctx, ctx.features["decoded"], shown.label, unsure, outputs[0].shape[1])
            terms["contrast"] = self.contrast * full * contrast
        if self.restoration:
            mask = unsure[:, None] & (cube_draws(shown.image, CUBES, ctx.generator) < self.rate)
            restored = self.restored(ctx, torch.where(mask, corrupted(shown.image, ctx.generator), shown.image))
            terms["restoration"] = self.restoration * full * restoration_loss(restored, shown.image, mask)
        return terms

    def _contrast(self, ctx: Context, feature: Tensor, label: Tensor, unsure: Tensor, n_classes: int) -> Tensor:
        """Remember this step's class sums of all workers, and contrast drawn voxels with all that is remembered."""
        today = ctx.sum_over_workers(class_sums(feature.detach(), label, n_classes))
        bank = ctx.state.get("bank", today.new_zeros(self.memory, *today.shape))
        place = torch.tensor([ctx.step % self.memory], device=today.device)
        ctx.state["bank"] = bank.index_copy(0, place, today[None])
        drawn = draw_voxels(unsure, self.voxels, ctx.generator)
        vectors = feature.flatten(2).gather(2, drawn[:, None].expand(-1, feature.shape[1], -1)).movedim(1, 2)
        classes = label.flatten(1).gather(1, drawn).flatten()
        return prototype_contrast(vectors.flatten(0, 1), classes, ctx.state["bank"].sum(dim=0), self.temperature)
