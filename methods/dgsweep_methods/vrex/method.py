"""The variance of risks as a pure function, then the method."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

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

    def batch_spec(self) -> BatchSpec:
        """Two domains to compare."""
        return BatchSpec(min_domains=2)

    def loss(self, ctx: Context, batch: Batch, views: Sequence[View]) -> Mapping[str, Tensor]:
        """ERM's loss and the weighted variance; a batch of one domain has no variance."""
        outputs = ctx.forward(views[0].image)
        terms = {"segmentation": ctx.seg_loss(outputs, batch.label)}
        risks = ctx.domain_losses(outputs, batch)
        if self.penalty and len(risks) > 1:
            ctx.mark_active()
            before = min(1.0, self.penalty)
            weight = before + (self.penalty - before) * ctx.ramp(self.anneal, RAMP)
            terms["variance"] = weight * risk_variance(risks)
        return terms
