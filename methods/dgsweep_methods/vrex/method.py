"""The variance of risks as a pure function, then the method."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import final

import torch
from torch import Tensor

from dgsweep.method.base import Batch, BatchSpec, Method, View
from dgsweep.method.context import Context

RAMP = 0.05
"""Share of the budget over which the weight rises, instead of a jump with a reset of the optimizer."""


def risk_variance(risks: Tensor) -> Tensor:
    """Mean squared deviation of the risks of domains from their mean; risks: (D,). Krueger et al., ICML 2021."""
    return (risks - risks.mean()).square().mean()


@final
@dataclass(kw_only=True)
class VRex(Method):
    """Add the variance of the domains' segmentation losses."""

    penalty: float
    anneal: float
    variant: str

    def batch_spec(self) -> BatchSpec:
        """Two domains to compare."""
        return BatchSpec(min_domains=2)

    def loss(self, ctx: Context, batch: Batch, views: Sequence[View]) -> Mapping[str, Tensor]:
        """ERM's loss and the weighted variance; a batch of one domain has no variance."""
        shown = batch.as_shown(views)
        outputs = ctx.forward(shown.image)
        terms = {"segmentation": ctx.seg_loss(outputs, shown.label)}
        shipped = self.variant == "as_shipped"  # environments are pairs of neighbours in the batch, not domains
        groups = replace(shown, domain=torch.arange(len(shown.label), device=ctx.device) // 2) if shipped else shown
        risks = ctx.domain_losses(outputs, groups)
        if self.penalty and len(risks) > 1:
            ctx.mark_active()
            before = min(1.0, self.penalty)
            weight = before + (self.penalty - before) * ctx.ramp(self.anneal, 0.0 if shipped else RAMP)
            terms["variance"] = weight * risk_variance(risks)
        return terms
