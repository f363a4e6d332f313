"""The quantile of a kernel density estimate, differentiable in the samples, then the method."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor
from torch.distributions import Normal

from dgsweep.method.base import Batch, BatchSpec, Method, View
from dgsweep.method.context import Context

TINY = 1e-12
"""Added to the variance, so that equal risks have a gradient."""
BISECTIONS = 60
"""Halvings of the bracket: float64 to the last digit."""


def kde_quantile(risks: Tensor, alpha: float) -> Tensor:
    """Quantile of a Gaussian kernel density estimate of the risks (D,), D > 1; a scalar.

    The bandwidth is 1.06 s D^(-1/5), s the unbiased deviation. The value is found by bisection, the gradient by the
    implicit function theorem: dq = -dF / f at F(q; risks) = alpha. Eastwood et al., NeurIPS 2022, section 4.
    """
    x = risks.double()
    kernel = Normal(x, 1.06 * (x.var() + TINY).sqrt() * len(x) ** -0.2)
    with torch.no_grad():
        ends = kernel.icdf(torch.tensor(alpha, dtype=x.dtype, device=x.device))
        low, high = ends.min(), ends.max()
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            below = kernel.cdf(middle).mean() < alpha
            low, high = torch.where(below, middle, low), torch.where(below, high, middle)
        density = kernel.log_prob(high).exp().mean()
    return (high - (kernel.cdf(high).mean() - alpha) / density).to(risks.dtype)


@final
@dataclass(kw_only=True)
class Eqrm(Method):
    """ERM, then the quantile of the domains' segmentation losses."""

    alpha: float
    burn_in: float

    def batch_spec(self) -> BatchSpec:
        """Two domains: one has no distribution of risks."""
        return BatchSpec(min_domains=2)

    def loss(self, ctx: Context, batch: Batch, views: Sequence[View]) -> Mapping[str, Tensor]:
        """ERM's loss in the burn-in and on a batch of one domain, else the quantile alone."""
        if ctx.progress() < self.burn_in or len(torch.unique(batch.domain)) < 2:
            return super().loss(ctx, batch, views)
        ctx.mark_active()
        shown = batch.as_shown(views)
        risks = ctx.domain_losses(ctx.forward(shown.image), shown)
        return {"quantile": kde_quantile(risks, self.alpha)}
