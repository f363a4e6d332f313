"""Teacher and student: moving averages of weights, ramps of the consistency weight, clipped noise."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dgsweep.method.base import Method
from dgsweep.method.context import Context

CLIP = 2.0
"""Noise is cut at this many of its deviations (SSL4MIS: 0.2 for a deviation of 0.1)."""


def gaussian_ramp(spent: float, length: float) -> float:
    """exp(-5 (1 - t)^2), t = spent / length, at most 1 (Laine and Aila, ICLR 2017). Both are shares of the budget."""
    if length <= 0:
        return 1.0
    return math.exp(-5.0 * (1.0 - min(spent / length, 1.0)) ** 2)


def ramped_weight(ctx: Context, weight: float, length: float) -> float:
    """Weight of a consistency term at this step, after `gaussian_ramp`; it is noted for the learning curves."""
    now = weight * gaussian_ramp(ctx.progress(), length)
    ctx.note("consistency_weight", now)
    return now


def average_decay(step: int, decay: float) -> float:
    """min(1 - 1 / (step + 1), decay), step from 0: early averages forget faster (Tarvainen and Valpola, 2017)."""
    return min(1.0 - 1.0 / (step + 1), decay)


@torch.no_grad()
def average_into(teacher: nn.Module, student: nn.Module, decay: float) -> None:
    """Teacher's parameters become decay * teacher + (1 - decay) * student; buffers are copied."""
    for own, other in zip(teacher.parameters(), student.parameters(), strict=True):
        own.lerp_(other, 1.0 - decay)
    for kept, current in zip(teacher.buffers(), student.buffers(), strict=True):
        kept.copy_(current)


def clipped_noise(image: Tensor, deviation: float, generator: torch.Generator) -> Tensor:
    """Normal noise in the shape of the image, cut at two deviations."""
    noise = torch.randn(image.shape, generator=generator, device=image.device, dtype=image.dtype)
    return (deviation * noise).clamp(-CLIP * deviation, CLIP * deviation)


def probability_gap(student: Tensor, teacher: Tensor) -> Tensor:
    """Squared difference of class probabilities of two logits (B, K+1, X, Y, Z), mean over classes: (B, X, Y, Z)."""
    gap = torch.softmax(student.float(), dim=1) - torch.softmax(teacher.float(), dim=1)
    return gap.square().mean(dim=1)


@dataclass(kw_only=True)
class AveragedTeacher(Method):
    """Base of methods whose teacher averages the student and predicts; it stands in `ctx.modules["teacher"]`."""

    decay: float

    def setup(self, ctx: Context) -> None:
        """A teacher that starts as the student."""
        ctx.twin("teacher")

    def after_step(self, ctx: Context) -> None:
        """The teacher follows."""
        average_into(ctx.modules["teacher"], ctx.network, average_decay(ctx.step, self.decay))

    def predictor(self, ctx: Context) -> nn.Module:
        """The teacher."""
        return ctx.modules["teacher"]
