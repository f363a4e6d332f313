"""AdverIN's curve and ascent as pure functions, then the method."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import final

import torch
from torch import Tensor
from torch.nn import functional

from dgsweep.method.base import Batch, Method, View
from dgsweep.method.context import Context
from dgsweep.method.sampling import coin

SOFTENING = 1e-4
"""Added to the norm of the gradient (released code)."""


def rising_curve(logits: Tensor) -> Tensor:
    """Control points (B, C, K) that rise from 0 to 1, from K - 1 logits of the increments; zeros give the diagonal."""
    return functional.pad(torch.softmax(logits, dim=2).cumsum(dim=2), (1, 0))


def remap(image: Tensor, curve: Tensor, *, shipped: bool = False) -> Tensor:
    """Send the intensities of each sample and channel through its curve, between their own minimum and maximum.

    Image and result: (B, C, X, Y, Z); curve: (B, C, K), linear between its points. `shipped` repeats two slips of the
    released code: the brightest voxel falls to the darkest value, and the range is halved.
    """
    value, last = image.flatten(2), curve.shape[2] - 1
    low, high = value.amin(dim=2, keepdim=True), value.amax(dim=2, keepdim=True)
    span = (high - low).clamp_min(1e-6)
    position = (value - low) / span * last
    left = position.detach().floor().clamp(0, last - 1).long()
    share = position - left
    bent = curve.gather(2, left) * (1.0 - share) + curve.gather(2, left + 1) * share
    if shipped:
        bent = 0.25 + 0.5 * torch.where(position < last, bent, 0.0)
    return (low + span * bent).view_as(image)


def ascend(logits: Tensor, loss_of: Callable[[Tensor], Tensor], step_size: float, gradient_norm: float) -> Tensor:
    """One ascent step of the logits (B, C, K - 1) on the loss of a curve.

    The gradient on the curve is rescaled to the norm `gradient_norm` * (K - 1) for each sample and channel before it
    is carried back to the logits, so the step does not depend on the size of the loss.
    """
    logits = logits.detach().requires_grad_()
    curve = rising_curve(logits)
    (slope,) = torch.autograd.grad(loss_of(curve), curve)
    scale = gradient_norm * logits.shape[2] / (slope.norm(dim=2, keepdim=True) + SOFTENING)
    (push,) = torch.autograd.grad(curve, logits, grad_outputs=scale * slope)
    return (logits + step_size * push).detach()


@final
@dataclass(kw_only=True)
class AdverIN(Method):
    """Show the network each image through its worst curve."""

    variant: str
    probability: float
    points: int
    step_size: float
    gradient_norm: float
    steps: int

    def views(self, ctx: Context, batch: Batch) -> Sequence[View]:
        """Attack the batch; `as_shipped` throws the attack away and draws a random curve instead."""
        image = batch.image
        if not coin(self.probability, ctx.generator):
            return [View(image=image, label=batch.label)]
        ctx.mark_active()
        logits = torch.zeros(*image.shape[:2], self.points - 1, device=image.device)
        shipped = self.variant == "as_shipped"
        if shipped:
            logits = torch.randn(logits.shape, generator=ctx.generator, device=image.device)
        else:
            for _ in range(self.steps):
                logits = ascend(logits, partial(self._loss_through, ctx, batch), self.step_size, self.gradient_norm)
        return [View(image=remap(image, rising_curve(logits), shipped=shipped), label=batch.label)]

    def _loss_through(self, ctx: Context, batch: Batch, curve: Tensor) -> Tensor:
        return ctx.seg_loss(ctx.forward(remap(batch.image, curve)), batch.label)
