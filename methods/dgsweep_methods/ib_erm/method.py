"""The variance of features within domains, then the method."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from dgsweep.method.base import Batch, Method, Tap, View
from dgsweep.method.context import Context
from dgsweep.method.features import by_domain, observe, voxel_vectors

RAMP = 0.05
"""Share of the budget over which the weight rises, instead of a jump with a reset of the optimizer."""


def feature_variance(groups: Sequence[Tensor]) -> Tensor:
    """Unbiased variance over the vectors (N_e, C) of a domain, mean over channels, then over domains.

    Ahuja et al., NeurIPS 2021, as in DomainBed. A domain of a single vector counts as 0.
    """
    return torch.stack([group.var(dim=0, correction=int(len(group) > 1)).mean() for group in groups]).mean()


@final
@dataclass(kw_only=True)
class IbErm(Method):
    """Add the weighted variance of the bottleneck's voxel vectors."""

    penalty: float
    anneal: float
    voxels: int

    def taps(self) -> Mapping[str, Tap]:
        """Look at the bottleneck."""
        return {"bottleneck": observe}

    def loss(self, ctx: Context, batch: Batch, views: Sequence[View]) -> Mapping[str, Tensor]:
        """ERM's loss and, from `anneal` on, the penalty."""
        shown = batch.as_shown(views)
        terms = {"segmentation": ctx.seg_loss(ctx.forward(shown.image), shown.label)}
        weight = self.penalty * ctx.ramp(self.anneal, RAMP)
        if weight:
            ctx.mark_active()
            vectors = voxel_vectors(ctx.features["bottleneck"], self.voxels, ctx.generator)
            terms["bottleneck"] = weight * feature_variance(by_domain(vectors, batch.domain))
        return terms
