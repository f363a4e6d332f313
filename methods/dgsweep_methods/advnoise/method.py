"""The search for the worst noise as a pure function, then the method."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from dgsweep.method.base import Batch, Method, View
from dgsweep.method.consistency import kl_divergence, rms_normalised
from dgsweep.method.context import Context

PROBE = 1e-2
"""Root mean square of the noise in power iterations; the paper's 1e-6 drowns in float32."""


def worst_direction(start: Tensor, distance_of: Callable[[Tensor], Tensor], steps: int) -> Tensor:
    """Power iteration for the direction along which a divergence of 0 at the origin grows fastest.

    Start and result: (B, C, X, Y, Z), root mean square 1 for each sample; `distance_of` maps noise of that shape to a
    scalar. Miyato et al., IEEE TPAMI 2018, algorithm 1.
    """
    direction = rms_normalised(start)
    for _ in range(steps):
        probe = (PROBE * direction).requires_grad_()
        (slope,) = torch.autograd.grad(distance_of(probe), probe)
        direction = rms_normalised(slope)
    return direction


@final
@dataclass(kw_only=True)
class AdvNoise(Method):
    """Supervised loss on the image, consistency with the image plus its worst noise."""

    weight: float
    epsilon: float
    steps: int

    def loss(self, ctx: Context, batch: Batch, views: Sequence[View]) -> Mapping[str, Tensor]:
        """Find the noise for the one view of the batch and ask for the prediction without it."""
        if self.weight == 0.0:
            return super().loss(ctx, batch, views)
        ctx.mark_active()
        (view,) = views
        outputs = ctx.forward(view.image)
        wanted = outputs[0].detach()
        start = torch.randn(view.image.shape, generator=ctx.generator, device=view.image.device)
        direction = worst_direction(
            start, lambda noise: kl_divergence(wanted, ctx.forward(view.image + noise)[0]), self.steps
        )
        shown = ctx.forward(view.image + self.epsilon * direction)[0]
        return {
            "segmentation": ctx.seg_loss(outputs, view.label),
            "consistency": self.weight * kl_divergence(wanted, shown),
        }
