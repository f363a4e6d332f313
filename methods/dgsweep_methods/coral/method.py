"""The distance of means and covariances, then the method."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from dgsweep.method.base import Batch, BatchSpec, Method, Tap, View
from dgsweep.method.context import Context
from dgsweep.method.features import by_domain, observe, voxel_vectors


def covariance(group: Tensor) -> Tensor:
    """Unbiased covariance (C, C) of the vectors (N, C); 0 for a single one."""
    centred = group - group.mean(dim=0)
    return centred.T @ centred / max(len(group) - 1, 1)


def coral_distance(groups: Sequence[Tensor]) -> Tensor:
    """Mean squared difference of means plus that of covariances, mean over the pairs of domains (N_e, C).

    Sun and Saenko, 2016, with the term of the means that DomainBed adds.
    """
    means = torch.stack([group.mean(dim=0) for group in groups])
    spreads = torch.stack([covariance(group) for group in groups])
    one, other = torch.triu_indices(len(groups), len(groups), offset=1, device=means.device)
    return (means[one] - means[other]).square().mean() + (spreads[one] - spreads[other]).square().mean()


@final
@dataclass(kw_only=True)
class Coral(Method):
    """Add the weighted distance of the domains' bottleneck vectors."""

    penalty: float
    voxels: int

    def batch_spec(self) -> BatchSpec:
        """Two domains to compare."""
        return BatchSpec(min_domains=2)

    def taps(self) -> Mapping[str, Tap]:
        """Look at the bottleneck."""
        return {"bottleneck": observe}

    def loss(self, ctx: Context, batch: Batch, views: Sequence[View]) -> Mapping[str, Tensor]:
        """ERM's loss and the distance; a batch of one domain has none."""
        shown = batch.as_shown(views)
        terms = {"segmentation": ctx.seg_loss(ctx.forward(shown.image), shown.label)}
        vectors = voxel_vectors(ctx.features["bottleneck"], self.voxels, ctx.generator)
        groups = by_domain(vectors, batch.domain)
        if self.penalty and len(groups) > 1:
            ctx.mark_active()
            terms["coral"] = self.penalty * coral_distance(groups)
        return terms
