"""A volume as a grid of cubes that change places, across the samples of a batch or within each of them."""

from collections.abc import Sequence

import torch
from torch import Tensor


def cells_of(size: Sequence[int], cubes: int) -> tuple[int, int, int]:
    """How many cubes stand along each axis of a volume (X, Y, Z): `cubes`, or its voxels where it has fewer."""
    x, y, z = (min(cubes, length) for length in size)
    return x, y, z


def cut(volume: Tensor, cells: Sequence[int]) -> Tensor:
    """The cubes of a volume (B, C, X, Y, Z), z fastest: (B, C, N, V); what no whole cube holds at an end is left."""
    (i, j, k), (x, y, z) = cells, (length // n for length, n in zip(volume.shape[2:], cells, strict=True))
    whole = volume[:, :, : i * x, : j * y, : k * z]
    parts = whole.unflatten(4, (k, z)).unflatten(3, (j, y)).unflatten(2, (i, x))
    return parts.permute(0, 1, 2, 4, 6, 3, 5, 7).flatten(5).flatten(2, 4)


def put_back(cubes: Tensor, volume: Tensor, cells: Sequence[int]) -> Tensor:
    """The volume (B, C, X, Y, Z) with these cubes (B, C, N, V) in place of its own: the inverse of `cut`."""
    sides = [length // n for length, n in zip(volume.shape[2:], cells, strict=True)]
    parts = cubes.unflatten(3, sides).unflatten(2, tuple(cells)).permute(0, 1, 2, 5, 3, 6, 4, 7)
    i, j, k = (n * side for n, side in zip(cells, sides, strict=True))
    changed = volume.clone()
    changed[:, :, :i, :j, :k] = parts.reshape(*volume.shape[:2], i, j, k)
    return changed


def across(volume: Tensor, order: Tensor, cells: Sequence[int]) -> Tensor:
    """Cube p of sample b becomes cube p of sample order[b, p]; `order.argsort(dim=0)` undoes it.

    Volume (B, C, X, Y, Z), order (B, N).
    """
    cubes = cut(volume, cells)
    return put_back(cubes.gather(0, order[:, None, :, None].expand_as(cubes)), volume, cells)


def within(volume: Tensor, order: Tensor, cells: Sequence[int]) -> Tensor:
    """Cube p of sample b becomes cube order[b, p] of the same sample; `order.argsort(dim=1)` undoes it.

    Volume (B, C, X, Y, Z), order (B, N).
    """
    cubes = cut(volume, cells)
    return put_back(cubes.gather(2, order[:, None, :, None].expand_as(cubes)), volume, cells)


def cube_means(feature: Tensor, cells: Sequence[int]) -> Tensor:
    """Mean feature vector of each cube of a map (B, C, X, Y, Z), in float32: (B, N, C)."""
    return cut(feature.float(), cells).mean(dim=3).transpose(1, 2)


def random_order(shape: tuple[int, int], dim: int, generator: torch.Generator) -> Tensor:
    """Permutations along one dimension of (B, N), each drawn apart."""
    return torch.rand(shape, generator=generator, device=generator.device).argsort(dim=dim)
