"""A random walk on the graph of an image, then the method: teacher, walk, and a student under intensity changes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor
from torch.nn import functional

from dgsweep.method.base import Batch, View
from dgsweep.method.context import Context
from dgsweep.method.intensity import strong_view
from dgsweep.method.teacher import AveragedTeacher, probability_gap, ramped_weight

RESTART = 0.1
"""Chance of each step that the walk goes back to the teacher's prediction."""
ALONE = 1e-6
"""Weight of staying, for a voxel that nothing links to its neighbours."""


def graph_walk(prior: Tensor, image: Tensor, width: float, steps: int) -> Tensor:
    """Class probabilities after a random walk with restart between the six neighbours of each voxel.

    F <- (1 - r) D^-1 W F + r F0 with W_ij = exp(-(x_i - x_j)^2 / (2 width^2)), as in Zhou et al., NIPS 2003. Only the
    size of a difference enters W, so an image with inverted contrast has the same graph.

    Args:
        prior: (B, K+1, X, Y, Z) probabilities F0.
        image: (B, C, X, Y, Z); differences are averaged over channels.
        width: Difference of intensity at which a link is weak.
        steps: Number of steps.
    """
    links = [torch.exp(-image.diff(dim=axis).square().mean(1, keepdim=True) / (2 * width**2)) for axis in (2, 3, 4)]
    total = ALONE + _from_neighbours(torch.ones_like(image[:, :1]), links)
    walked = prior
    for _ in range(steps):
        walked = (1 - RESTART) * (_from_neighbours(walked, links) + ALONE * walked) / total + RESTART * prior
    return walked


def _from_neighbours(values: Tensor, links: Sequence[Tensor]) -> Tensor:
    """Sum over neighbours of their values times the link to them."""
    found = torch.zeros_like(values)
    for axis, link in enumerate(links):
        before, after = [0] * 6, [0] * 6
        before[4 - 2 * axis], after[5 - 2 * axis] = 1, 1
        n = link.shape[axis + 2]
        found = found + functional.pad(link * values.narrow(axis + 2, 1, n), after)
        found = found + functional.pad(link * values.narrow(axis + 2, 0, n), before)
    return found


@final
@dataclass(kw_only=True)
class PancreasDg(AveragedTeacher):
    """Add the distances from the student's strong view to the teacher and to its walk; the teacher predicts."""

    weight: float
    ramp: float
    strength: float
    graph: float
    width: float
    walk: int

    def loss(self, ctx: Context, batch: Batch, views: Sequence[View]) -> Mapping[str, Tensor]:
        """ERM's loss, and the two mean squared gaps of probabilities on unlabelled patches."""
        terms = dict(super().loss(ctx, batch, views))
        if not self.weight or batch.unlabelled is None:
            return terms
        ctx.mark_active()
        image = batch.unlabelled.image
        weight = ramped_weight(ctx, self.weight, self.ramp)
        with torch.no_grad():
            teacher = ctx.forward_with(ctx.modules["teacher"], image)[0].float()
            walked = graph_walk(torch.softmax(teacher, dim=1), image, self.width, self.walk)
        student = ctx.forward(strong_view(image, self.strength, ctx.generator))[0].float()
        terms["consistency"] = weight * probability_gap(student, teacher).mean()
        terms["graph"] = weight * self.graph * (torch.softmax(student, dim=1) - walked).square().mean()
        return terms
