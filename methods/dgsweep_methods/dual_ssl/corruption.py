"""Corruption of an image in cubes: shuffled voxels, noise, or another intensity curve."""

import torch
from torch import Tensor
from torch.nn import functional

from dgsweep.method.volume import per_sample, uniform, unit_range

CUBE = 8
"""Side of a cube in voxels."""


def corrupted(image: Tensor, generator: torch.Generator) -> Tensor:
    """Every cube of an image (B, C, X, Y, Z) corrupted in one of three ways, drawn for each cube."""
    noise = torch.randn(image.shape, generator=generator, device=image.device, dtype=image.dtype)
    ways = torch.stack([shuffled(image, generator), noise, recoloured(image, generator)])
    way = (3 * cube_draws(image, generator)).long().clamp_max(2)
    return ways.gather(0, way[None].expand(1, *image.shape))[0]


def cube_draws(image: Tensor, generator: torch.Generator) -> Tensor:
    """Draws from U(0, 1), one for each cube of each sample of (B, C, X, Y, Z), at its voxels: (B, 1, X, Y, Z)."""
    size = image.shape[2:]
    drawn = torch.rand(len(image), 1, *[-(-n // CUBE) for n in size], generator=generator, device=image.device)
    for axis in (2, 3, 4):
        drawn = drawn.repeat_interleave(CUBE, dim=axis)
    return drawn[:, :, : size[0], : size[1], : size[2]]


def shuffled(image: Tensor, generator: torch.Generator) -> Tensor:
    """Voxels of each cube in a random order, all channels alike; an incomplete cube at the border is padded with it."""
    x, y, z = image.shape[2:]
    whole = functional.pad(image, (0, -z % CUBE, 0, -y % CUBE, 0, -x % CUBE), mode="replicate")
    cubes = whole.unflatten(4, (-1, CUBE)).unflatten(3, (-1, CUBE)).unflatten(2, (-1, CUBE))
    cubes = cubes.permute(0, 1, 2, 4, 6, 3, 5, 7).contiguous()
    flat = cubes.flatten(5)
    order = torch.rand(len(image), 1, *flat.shape[2:], generator=generator, device=image.device).argsort(dim=5)
    mixed = flat.gather(5, order.expand_as(flat)).view(cubes.shape)
    return mixed.permute(0, 1, 2, 5, 3, 6, 4, 7).reshape(whole.shape)[:, :, :x, :y, :z]


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
