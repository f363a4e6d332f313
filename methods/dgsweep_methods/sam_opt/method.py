"""The ascent of SAM as a pure function of gradients, then the method."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from dgsweep.method.base import Closure, Method
from dgsweep.method.context import Context


def ascent(gradients: Sequence[Tensor], rho: float) -> list[Tensor]:
    """The step of length rho along the gradient: eps = rho g / |g|_2, the norm taken over all tensors together.

    Equation 2 of Foret et al. for p = 2. Each result has the shape of its gradient; a zero gradient gives zero.
    """
    norm = torch.stack([gradient.float().norm() for gradient in gradients]).norm()
    scale = torch.where(norm > 0, rho / norm, 0.0)
    return [(scale * gradient).to(gradient.dtype) for gradient in gradients]


@final
@dataclass(kw_only=True)
class SamOpt(Method):
    """Go up to the worst weights nearby, take the gradient there, go back, step."""

    rho: float

    def optimize(self, ctx: Context, closure: Closure) -> None:
        """Two closures on the same batch; the loss that is logged is that of the weights themselves."""
        ctx.zero_grad()
        ctx.backward(closure())
        losses = ctx.losses
        moved = [parameter for parameter in ctx.network.parameters() if parameter.grad is not None]
        kept = [parameter.detach().clone() for parameter in moved]
        if self.rho:
            ctx.mark_active()
        with torch.no_grad():
            gradients = [parameter.grad for parameter in moved if parameter.grad is not None]
            for parameter, step in zip(moved, ascent(gradients, self.rho), strict=True):
                parameter.add_(step)
        ctx.zero_grad()
        ctx.backward(closure())
        with torch.no_grad():
            for parameter, value in zip(moved, kept, strict=True):
                parameter.copy_(value)
        ctx.losses = losses
        ctx.step_optimizer()
