"""CSU as a pure function of features and noise, then the method."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from dgsweep.method.base import Method, Tap
from dgsweep.method.context import Context
from dgsweep.method.sampling import coin, symmetric_beta
from dgsweep.method.style import Style, restyle, style_of


def correlated_noise(statistic: Tensor, noise: Tensor) -> Tensor:
    """Gaussian noise (B, C, 1, 1, 1) with the covariance that a statistic of that shape has over the batch.

    A standard normal draw (B, B) mixes the deviations D (B, C) from the mean: rows of noise @ D / sqrt(B) have the
    covariance D'D / B. The paper reaches the same distribution through the eigenvectors of that (C, C) matrix.
    """
    deviations = (statistic - statistic.mean(dim=0, keepdim=True)).flatten(1)
    return (noise @ deviations / len(statistic) ** 0.5).view_as(statistic)


def perturb_styles(feature: Tensor, strength: Tensor, noise: Tensor) -> Tensor:
    """Shift mean and deviation of each sample by strength times correlated noise.

    Feature and result: (B, C, X, Y, Z); strength: (B,); noise: (2, B, B) standard normal. Zhang et al., WACV 2024.
    """
    own, weight = style_of(feature), strength.view(-1, 1, 1, 1, 1)
    mean, std = (part + weight * correlated_noise(part, draw) for part, draw in zip(own, noise, strict=True))
    return restyle(feature, own, Style(mean, std))


@final
@dataclass(kw_only=True)
class Csu(Method):
    """Perturb styles at the chosen taps, channels together."""

    probability: float
    alpha: float
    layers: tuple[str, ...]

    def taps(self) -> Mapping[str, Tap]:
        """Each chosen layer is perturbed on its own."""
        return dict.fromkeys(self.layers, self._perturb)

    def _perturb(self, feature: Tensor, ctx: Context) -> Tensor:
        n = len(feature)
        if n < 2 or not coin(self.probability, ctx.generator):
            return feature
        ctx.mark_active()
        strength = symmetric_beta(self.alpha, n, ctx.generator)
        noise = torch.randn(2, n, n, generator=ctx.generator, device=feature.device)
        return perturb_styles(feature, strength, noise)
