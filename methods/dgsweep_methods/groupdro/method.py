"""The weights of domains as a pure function, then the method."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from dgsweep.method.base import Batch, Method, View
from dgsweep.method.context import Context


def updated_weights(log_weights: Tensor, present: Tensor, risks: Tensor, eta: float) -> Tensor:
    """Log of q_e exp(eta L_e) / Σ, where only the domains `present` (P,) with `risks` (P,) move; (D,) to (D,).

    Sagawa et al., ICLR 2020, algorithm 1. Kept as logarithms, so that a weight never gets stuck at zero.
    """
    return torch.log_softmax(log_weights.index_add(0, present, eta * risks.detach()), dim=0)


@final
@dataclass(kw_only=True)
class GroupDro(Method):
    """Weight the domains' losses by exponentiated-gradient weights."""

    eta: float

    def setup(self, ctx: Context) -> None:
        """Start from equal weights."""
        ctx.state["log_weights"] = torch.full((ctx.n_domains,), 1.0 / ctx.n_domains, device=ctx.device).log()

    def loss(self, ctx: Context, batch: Batch, views: Sequence[View]) -> Mapping[str, Tensor]:
        """Update the weights, then D/P Σ q_e L_e over the P of D domains in the batch: unbiased where P < D."""
        ctx.mark_active()
        present = torch.unique(batch.domain)
        shown = batch.as_shown(views)
        risks = ctx.domain_losses(ctx.forward(shown.image), shown)
        seen, means = _over_workers(ctx, present, risks)
        ctx.state["log_weights"] = updated_weights(ctx.state["log_weights"], seen, means, self.eta)
        weights = ctx.state["log_weights"].exp()[present]
        return {"segmentation": ctx.n_domains / len(present) * (weights * risks).sum()}


def _over_workers(ctx: Context, present: Tensor, risks: Tensor) -> tuple[Tensor, Tensor]:
    """Domains that any worker saw, and their risks, mean over the workers that saw them; both (P,)."""
    own = torch.zeros(2, ctx.n_domains, device=ctx.device)
    total, workers = ctx.sum_over_workers(own.index_copy(1, present, torch.stack([risks, torch.ones_like(risks)])))
    seen = workers.nonzero()[:, 0]
    return seen, total[seen] / workers[seen]
