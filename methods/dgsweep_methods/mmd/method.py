"""The maximum mean discrepancy between all pairs of domains, then the method."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from dgsweep.method.base import Batch, BatchSpec, Method, Tap, View
from dgsweep.method.context import Context
from dgsweep.method.features import by_domain, observe, voxel_vectors

GAMMAS = (0.001, 0.01, 0.1, 1.0, 10.0, 100.0, 1000.0)
"""Inverse widths of the Gaussian kernels, which are summed (DomainBed)."""


def mean_discrepancy(groups: Sequence[Tensor]) -> Tensor:
    """Squared discrepancy (biased, k(x, x) included) of vectors (N_e, C), mean over the pairs of domains.

    The kernel is Σ_γ exp(-γ |x - y|²). Gretton et al., JMLR 2012; Li et al., CVPR 2018, as in DomainBed.
    """
    vectors = torch.cat(list(groups))
    squared = torch.cdist(vectors, vectors, compute_mode="donot_use_mm_for_euclid_dist").square()
    kernel = torch.stack([torch.exp(-gamma * squared) for gamma in GAMMAS]).sum(dim=0)
    averages = torch.block_diag(*[torch.full((1, len(group)), 1.0 / len(group)) for group in groups]).to(kernel)
    means = averages @ kernel @ averages.T
    one, other = torch.triu_indices(len(groups), len(groups), offset=1, device=means.device)
    return (means[one, one] + means[other, other] - 2.0 * means[one, other]).mean()


@final
@dataclass(kw_only=True)
class Mmd(Method):
    """Add the weighted discrepancy of the domains' bottleneck vectors."""

    penalty: float
    voxels: int

    def batch_spec(self) -> BatchSpec:
        """Two domains to compare."""
        return BatchSpec(min_domains=2)

    def taps(self) -> Mapping[str, Tap]:
        """Look at the bottleneck."""
        return {"bottleneck": observe}

    def loss(self, ctx: Context, batch: Batch, views: Sequence[View]) -> Mapping[str, Tensor]:
        """ERM's loss and the discrepancy; a batch of one domain has none."""
        shown = batch.as_shown(views)
        terms = {"segmentation": ctx.seg_loss(ctx.forward(shown.image), shown.label)}
        vectors = voxel_vectors(ctx.features["bottleneck"], self.voxels, ctx.generator)
        groups = by_domain(vectors, batch.domain)
        if self.penalty and len(groups) > 1:
            ctx.mark_active()
            terms["mmd"] = self.penalty * mean_discrepancy(groups)
        return terms
