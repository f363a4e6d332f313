"""Corruption of an image in cubes: shuffled voxels, noise, or another intensity curve."""

import torch
from torch import Tensor

from dgsweep.method.corruption import cube_draws, shuffled
from dgsweep.method.volume import per_sample, uniform, unit_range

CUBES = (8, 8, 8)
"""Sides of a cube in voxels."""


def corrupted(image: Tensor, generator: torch.Generator) -> Tensor:
    """Every cube of an image (B, C, X, Y, Z) corrupted in one of three ways, drawn for each cube."""
    noise = torch.randn(image.shape, generator=generator, device=image.device, dtype=image.dtype)
    ways = torch.stack([shuffled(image, CUBES, generator), noise, recoloured(image, generator)])
    way = (3 * cube_draws(image, CUBES, generator)).long().clamp_max(2)
    return ways.gather(0, way[None].expand(1, *image.shape))[0]


def recoloured(image: Tensor, generator: torch.Generator) -> Tensor:
    """Intensities of each sample through a cubic Bezier curve of its own, half of them upside down."""
    low, high = image.amin((2, 3, 4), keepdim=True), image.amax((2, 3, 4), keepdim=True)
    inner = uniform(0.0, 1.0, (len(image), 2), generator, image.device)
    falls = uniform(0.0, 1.0, (len(image),), generator, image.device) < 0.5
    curve = bezier(unit_range(image), per_sample(inner[:, 0]), per_sample(inner[:, 1]))
    return low + (high - low) * torch.where(per_sample(falls), 1.0 - curve, curve)


def bezier(value: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Bezier curve through (0, 0) and (1, 1) with inner points (1/3, first) and (2/3, second), at values in [0, 1].

    With both in [0, 1] it never falls.
    """
    rest = 1.0 - value
    return 3.0 * rest**2 * value * first + 3.0 * rest * value**2 * second + value**3
