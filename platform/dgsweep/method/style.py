"""Style of a feature map: mean and standard deviation of each channel of each sample."""

from typing import NamedTuple

from torch import Tensor

EPS = 1e-6
"""Added to variances (released MixStyle, DSU and CSU code)."""


class Style(NamedTuple):
    """Mean and standard deviation over space, each (B, C, 1, 1, 1) float32."""

    mean: Tensor
    std: Tensor


def style_of(feature: Tensor) -> Style:
    """Statistics over space of each channel of each sample; feature is (B, C, X, Y, Z).

    The variance is the biased one, so that a feature map of one voxel has a style too.
    """
    axes = (2, 3, 4)
    wide = feature.float()
    return Style(wide.mean(axes, keepdim=True), (wide.var(axes, correction=0, keepdim=True) + EPS).sqrt())


def restyle(feature: Tensor, old: Style, new: Style) -> Tensor:
    """Normalise a feature map (B, C, X, Y, Z) by its old style and give it a new one; computed in float32."""
    shown = (feature.float() - old.mean) / old.std * new.std + new.mean
    return shown.to(feature.dtype)


def spread(statistic: Tensor) -> Tensor:
    """Standard deviation over the batch, as broadcastable (1, C, 1, 1, 1); B is at least 2."""
    return (statistic.var(dim=0, keepdim=True) + EPS).sqrt()
