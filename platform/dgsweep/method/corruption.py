"""Corruption of images for methods that learn to undo it: shuffled cubes, cubes drawn at random, intensity curves."""

import torch
from torch import Tensor
from torch.nn import functional

Sides = tuple[int, int, int]
"""Of a cube in voxels along x, y, z."""
POINTS = 256
"""Points at which a curve is evaluated."""


def cube_draws(image: Tensor, sides: Sides, generator: torch.Generator) -> Tensor:
    """Draws from U(0, 1), one for each cube of each sample of (B, C, X, Y, Z), at its voxels: (B, 1, X, Y, Z)."""
    drawn = torch.rand(len(image), 1, *cube_grid(image, sides), generator=generator, device=image.device)
    return at_voxels(drawn, sides, image)


def cube_grid(image: Tensor, sides: Sides) -> list[int]:
    """How many cubes there are along x, y, z of (B, C, X, Y, Z), those that the border cuts too."""
    return [-(-length // side) for length, side in zip(image.shape[2:], sides, strict=True)]


def at_voxels(cubes: Tensor, sides: Sides, image: Tensor) -> Tensor:
    """Values of cubes (B, 1, i, j, k) at the voxels of an image (B, C, X, Y, Z): (B, 1, X, Y, Z)."""
    for axis, side in enumerate(sides, start=2):
        cubes = cubes.repeat_interleave(side, dim=axis)
    x, y, z = image.shape[2:]
    return cubes[:, :, :x, :y, :z]


def shuffled(image: Tensor, sides: Sides, generator: torch.Generator) -> Tensor:
    """Voxels of each cube in a random order, all channels alike; an incomplete cube at the border is padded with it.

    Image (B, C, X, Y, Z).
    """
    x, y, z = image.shape[2:]
    i, j, k = sides
    whole = functional.pad(image, (0, -z % k, 0, -y % j, 0, -x % i), mode="replicate")
    cubes = whole.unflatten(4, (-1, k)).unflatten(3, (-1, j)).unflatten(2, (-1, i))
    cubes = cubes.permute(0, 1, 2, 4, 6, 3, 5, 7).contiguous()
    flat = cubes.flatten(5)
    order = torch.rand(len(image), 1, *flat.shape[2:], generator=generator, device=image.device).argsort(dim=5)
    mixed = flat.gather(5, order.expand_as(flat)).view(cubes.shape)
    return mixed.permute(0, 1, 2, 5, 3, 6, 4, 7).reshape(whole.shape)[:, :, :x, :y, :z]


def bezier(value: Tensor, control: Tensor, falling: Tensor) -> Tensor:
    """Cubic Bezier curve through (0, 0) and (1, 1) at values (R, N) in [0, 1]; falling rows run from 1 to 0.

    `control` is (R, 2, 2): x and y of the two inner points. Both coordinates are sorted along the curve, as in the
    released code of Models Genesis and of SLAug; y is not where the curve falls, but reversed.
    """
    t = torch.linspace(0, 1, POINTS, device=value.device)
    x, y = (3 * (1 - t) ** 2 * t * control[:, 0, :, None] + 3 * (1 - t) * t**2 * control[:, 1, :, None] + t**3).unbind(
        1
    )
    x, y = x.sort(1).values, torch.where(falling[:, None], y.flip(1), y.sort(1).values)
    right = torch.searchsorted(x.contiguous(), value.contiguous()).clamp(1, POINTS - 1)
    low, high = x.gather(1, right - 1), x.gather(1, right)
    share = ((value - low) / (high - low).clamp_min(1e-8)).clamp(0, 1)
    return torch.lerp(y.gather(1, right - 1), y.gather(1, right), share)
