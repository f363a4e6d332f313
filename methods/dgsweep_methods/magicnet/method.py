"""Class frequencies and the blending of pseudo-labels as pure functions, then the method."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional

from dgsweep.method.base import Batch, Tap, View
from dgsweep.method.context import Context
from dgsweep.method.features import observe
from dgsweep.method.losses import soft_dice_loss
from dgsweep.method.teacher import AveragedTeacher, clipped_noise, ramped_weight
from dgsweep_methods.magicnet.cubes import across, cells_of, cube_means, random_order, within

HIDDEN = 4096
"""Units of the layer between the features of a cube and its location (released code)."""
NOISE = 0.1
"""Deviation of the teacher's input noise (released code)."""
ALONE = 100 / 70000
"""Share of the budget in which the teacher labels alone, while classes are counted (released code)."""
KEPT = 0.95
"""Of the class frequencies, at each step: they look back some 20 steps, after which the released code counts anew."""


def class_frequency(label: Tensor, n_classes: int) -> Tensor:
    """Number of voxels of each class in (B, X, Y, Z): (K+1,), in float32."""
    return torch.bincount(label.flatten(), minlength=n_classes).float()


def blended_labels(teacher: Tensor, cubes: Tensor, frequency: Tensor) -> Tensor:
    """Classes (B, X, Y, Z) of two logits (B, K+1, X, Y, Z), mixed voxel by voxel.

    The logits that were made of cubes weigh as much as the teacher's class is frequent, (K+1,), 1 for the most
    frequent one: where the teacher sees a rare class it is believed, elsewhere the cubes are.
    """
    weight = (frequency / frequency.max().clamp_min(1e-8))[teacher.argmax(dim=1)][:, None]
    return torch.lerp(teacher.float(), cubes.float(), weight).argmax(dim=1)


@final
@dataclass(kw_only=True)
class MagicNet(AveragedTeacher):
    """Learn from patches whose cubes were exchanged across and within patches, with predictions put back in place."""

    cubes: int
    recovery: float
    location: float
    consistency: float
    ramp: float

    def taps(self) -> Mapping[str, Tap]:
        """Look at the last features of the decoder."""
        return {"decoded": observe}

    def setup(self, ctx: Context) -> None:
        """A teacher, and a head that tells the place of a cube from its mean feature vector."""
        super().setup(ctx)
        if ctx.recipe.patch is None:
            raise ValueError("the places of cubes are known for a patch only, and the recipe has none")
        places = math.prod(cells_of(ctx.recipe.patch, self.cubes))
        first = nn.Linear(ctx.tap_channels("decoded"), HIDDEN)
        ctx.add_module("locator", nn.Sequential(first, nn.LeakyReLU(0.2), nn.Linear(HIDDEN, places)))

    def loss(self, ctx: Context, batch: Batch, views: Sequence[View]) -> Mapping[str, Tensor]:
        """ERM's loss, Dice of what was put back (labels, pseudo-labels), and the places of the cubes."""
        terms = dict(super().loss(ctx, batch, views))
        if batch.unlabelled is None or not (self.recovery or self.location or self.consistency):
            return terms
        ctx.mark_active()
        shown, free = batch.as_shown(views), batch.unlabelled.image
        sizes, image = (len(shown.image), len(free)), torch.cat([shown.image, free])
        cells = cells_of(image.shape[2:], self.cubes)
        shape = (len(image), math.prod(cells))
        mixed, turned = random_order(shape, 0, ctx.generator), random_order(shape, 1, ctx.generator)
        logits, _ = self._seen(ctx, across(image, mixed, cells), sizes)
        crossed = across(logits, mixed.argsort(dim=0), cells)
        logits, feature = self._seen(ctx, within(image, turned, cells), sizes)
        inner = within(logits, turned.argsort(dim=1), cells)
        n, known = sizes[0], shown.label
        guess = self._pseudo_labels(ctx, free, inner[n:].detach())
        places = ctx.modules["locator"](cube_means(feature, cells)).flatten(0, 1)
        terms["recovery"] = self.recovery * (soft_dice_loss(crossed[:n], known) + soft_dice_loss(inner[:n], known))
        terms["location"] = self.location * functional.cross_entropy(places, turned.flatten())
        terms["consistency"] = ramped_weight(ctx, self.consistency, self.ramp) * soft_dice_loss(crossed[n:], guess)
        return terms

    def _seen(self, ctx: Context, image: Tensor, sizes: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Finest logits and last features of the network, as many patches at a time as a batch has."""
        logits, features = [], []
        for part in image.split(list(sizes)):
            logits.append(ctx.forward(part)[0])
            features.append(ctx.features["decoded"])
        return torch.cat(logits), torch.cat(features)

    def _pseudo_labels(self, ctx: Context, image: Tensor, cubes: Tensor) -> Tensor:
        """Labels of unlabelled patches, by the teacher and by the logits of their cubes; their classes are counted."""
        with torch.no_grad():
            noisy = image + clipped_noise(image, NOISE, ctx.generator)
            teacher = ctx.forward_with(ctx.modules["teacher"], noisy)[0]
        before = ctx.state.get("frequency")
        if before is None or ctx.progress() < ALONE:
            label = teacher.argmax(dim=1)
        else:
            label = blended_labels(teacher, cubes, before)
        today = ctx.sum_over_workers(class_frequency(label, teacher.shape[1]))
        ctx.state["frequency"] = today if before is None else torch.lerp(today, before, KEPT)
        return label
