"""The cube and the pasting as pure functions, then the method."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from dgsweep.method.base import Batch, Method, View
from dgsweep.method.context import Context
from dgsweep.method.pseudo_labels import largest_components
from dgsweep.method.teacher import average_into


def cube_at_random(size: Sequence[int], share: float, generator: torch.Generator) -> Tensor:
    """True inside one box (X, Y, Z) at a random place, each side `share` of the patch's, at least a voxel."""
    inside = torch.zeros(tuple(size), dtype=torch.bool, device=generator.device)
    sides = [max(1, round(share * length)) for length in size]
    rooms = [length - side + 1 for length, side in zip(size, sides, strict=True)]
    corner = [int(torch.randint(room, (), generator=generator, device=generator.device)) for room in rooms]
    x, y, z = (slice(start, start + side) for start, side in zip(corner, sides, strict=True))
    inside[x, y, z] = True
    return inside


@final
@dataclass(kw_only=True)
class Bcp(Method):
    """First labelled patches with cubes of each other, then labelled and unlabelled ones with cubes of each other."""

    pretrain: float
    cube: float
    weight: float
    decay: float

    def setup(self, ctx: Context) -> None:
        """A teacher, which labels."""
        ctx.twin("teacher")

    def loss(self, ctx: Context, batch: Batch, views: Sequence[View]) -> Mapping[str, Tensor]:
        """Half of Dice plus cross-entropy of mixed patches: the release takes the mean of the two."""
        shown, free = batch.as_shown(views), batch.unlabelled
        inside = cube_at_random(shown.image.shape[2:], self.cube, ctx.generator)
        if free is None or ctx.progress() < self.pretrain:
            image = torch.where(inside, shown.image.roll(1, 0), shown.image)
            label = torch.where(inside, shown.label.roll(1, 0), shown.label)
            return {"segmentation": 0.5 * ctx.seg_loss(ctx.forward(image), label)}
        ctx.mark_active()
        n = min(len(shown.image), len(free.image))
        known, label, new = shown.image[:n], shown.label[:n], free.image[:n]
        with torch.no_grad():
            guess = largest_components(ctx.forward_with(ctx.modules["teacher"], new)[0].argmax(dim=1))
        other, other_guess = new.roll(1, 0), guess.roll(1, 0)  # each direction pairs other patches
        return {
            "inward": self._mixed_loss(ctx, torch.where(inside, known, new), label, guess, inside),
            "outward": self._mixed_loss(ctx, torch.where(inside, other, known), label, other_guess, ~inside),
        }

    def _mixed_loss(self, ctx: Context, image: Tensor, label: Tensor, guess: Tensor, labelled: Tensor) -> Tensor:
        """The loss where the label is known, and the weighted one where the teacher has given it."""
        outputs, here = ctx.forward(image), labelled.expand_as(label)
        return 0.5 * (ctx.seg_loss(outputs, label, here) + self.weight * ctx.seg_loss(outputs, guess, ~here))

    def after_step(self, ctx: Context) -> None:
        """The teacher is the student until the first phase ends, then its moving average."""
        average_into(ctx.modules["teacher"], ctx.network, self.decay if ctx.progress() >= self.pretrain else 0.0)
