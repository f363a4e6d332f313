"""Feature maps as samples: each voxel is one vector. For methods that compare feature distributions of domains."""

import torch
from torch import Tensor

from dgsweep.method.context import Context


def observe(feature: Tensor, ctx: Context) -> Tensor:
    """Leave the feature map of a tap as it is; the context keeps it in `ctx.features`."""
    del ctx
    return feature


def voxel_vectors(feature: Tensor, n_voxels: int, generator: torch.Generator) -> Tensor:
    """Vectors of at most `n_voxels` voxels of a feature map, at random places that are the same for every sample.

    Args:
        feature: (B, C, X, Y, Z), any floating type.
        n_voxels: All voxels are taken, in their order, where the map has no more.
        generator: Stream of the places, on the device of the map.

    Returns:
        (B, V, C) in float32.
    """
    vectors = feature.flatten(2).transpose(1, 2).float()
    if vectors.shape[1] <= n_voxels:
        return vectors
    return vectors[:, torch.randperm(vectors.shape[1], generator=generator, device=feature.device)[:n_voxels]]


def by_domain(vectors: Tensor, domain: Tensor) -> list[Tensor]:
    """Vectors (B, V, C) pooled over the samples of each domain in the batch: (N_e, C), in the order of the index."""
    return [vectors[domain == index].flatten(0, 1) for index in torch.unique(domain)]
