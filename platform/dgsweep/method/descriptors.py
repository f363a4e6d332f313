"""Descriptors that replace an image as the network's input because they do not depend on the sign of its contrast."""

import math
from itertools import combinations

import torch
from torch import Tensor
from torch.nn import functional

NEIGHBOURS = ((-1, 0, 0), (1, 0, 0), (0, -1, 0), (0, 1, 0), (0, 0, -1), (0, 0, 1))
PAIRS = tuple((a, b) for a, b in combinations(range(6), 2) if math.dist(NEIGHBOURS[a], NEIGHBOURS[b]) == math.sqrt(2.0))
"""The twelve pairs of neighbours that do not lie opposite each other."""
VOXELS = (-3, -2, -1)


def differences(image: Tensor, delta: int) -> Tensor:
    """Differences of the twelve pairs of neighbours at distance `delta`; borders are repeated.

    Image (B, C, X, Y, Z), result (B, C, 12, X, Y, Z).
    """
    padded = functional.pad(image, [delta] * 6, mode="replicate")
    neighbours = []
    for offset in NEIGHBOURS:
        shifted = padded
        for axis, size, step in zip(VOXELS, image.shape[2:], offset, strict=True):
            shifted = shifted.narrow(axis, delta + delta * step, size)
        neighbours.append(shifted)
    return torch.stack([neighbours[a] - neighbours[b] for a, b in PAIRS], dim=2)


def smooth(volume: Tensor, sigma: float) -> Tensor:
    """Gaussian mean over a window of 2 ceil(1.5 sigma) + 1 voxels on each of the last three axes; borders repeated."""
    reach = math.ceil(1.5 * sigma)
    place = torch.arange(-reach, reach + 1, device=volume.device, dtype=volume.dtype)
    weight = torch.exp(-0.5 * (place / sigma) ** 2)
    flow = volume.reshape(-1, 1, *volume.shape[-3:])
    for axis in VOXELS:
        padding = [reach if one == axis else 0 for one in reversed(VOXELS) for _ in range(2)]
        kernel = (weight / weight.sum()).view(1, 1, *[-1 if one == axis else 1 for one in VOXELS])
        flow = functional.conv3d(functional.pad(flow, padding, mode="replicate"), kernel)
    return flow.reshape(volume.shape)


def mind_ssc(image: Tensor, delta: int, sigma: float, noise: Tensor | float = 0.0) -> Tensor:
    """MIND-SSC descriptors in (0, 1], twelve for each channel (Heinrich et al., MICCAI 2013).

    Args:
        image: (B, C, X, Y, Z).
        delta: distance of the neighbours in voxels.
        sigma: smoothing of the squared differences in voxels.
        noise: (B, C, 12, X, Y, Z), added to the differences before they are squared.

    Returns:
        (B, 12 C, X, Y, Z).
    """
    distance = smooth((differences(image.float(), delta) + noise) ** 2, sigma)
    distance = distance - distance.amin(dim=2, keepdim=True)
    spread = distance.mean(dim=2, keepdim=True)
    overall = spread.mean(dim=VOXELS, keepdim=True).clamp(min=1e-9)
    spread = torch.minimum(torch.maximum(spread, 1e-3 * overall), 1e3 * overall)
    return torch.exp(-distance / spread).flatten(1, 2)
