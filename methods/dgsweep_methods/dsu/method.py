"""DSU as a pure function of features and noise, then the method."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from dgsweep.method.base import Method, Tap
from dgsweep.method.context import Context
from dgsweep.method.sampling import coin
from dgsweep.method.style import Style, restyle, spread, style_of


def perturb_styles(feature: Tensor, noise: Tensor) -> Tensor:
    """Shift mean and deviation of each channel by noise times their standard deviation over the batch.

    Feature and result: (B, C, X, Y, Z), B at least 2; noise: (2, B, C, 1, 1, 1), for mean and deviation.
    Li et al., ICLR 2022. Gradients flow through the statistics, as in the released code.
    """
    own = style_of(feature)
    mean, std = (part + shift * spread(part) for part, shift in zip(own, noise, strict=True))
    return restyle(feature, own, Style(mean, std))


@final
@dataclass(kw_only=True)
class Dsu(Method):
    """Perturb styles at the chosen taps."""

    probability: float
    factor: float
    layers: tuple[str, ...]

    def taps(self) -> Mapping[str, Tap]:
        """Each chosen layer is perturbed on its own."""
        return dict.fromkeys(self.layers, self._perturb)

    def _perturb(self, feature: Tensor, ctx: Context) -> Tensor:
        n, channels = feature.shape[:2]
        if n < 2 or not coin(self.probability, ctx.generator):
            return feature
        ctx.mark_active()
        noise = torch.randn(2, n, channels, 1, 1, 1, generator=ctx.generator, device=feature.device)
        return perturb_styles(feature, self.factor * noise)
