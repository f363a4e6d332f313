"""The variance of per-voxel gradients in closed form, then the method."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor
from torch.nn import functional

from dgsweep.method.base import Batch, BatchSpec, Method, Tap, View
from dgsweep.method.context import Context
from dgsweep.method.features import observe

RAMP = 0.05
"""Share of the budget over which the weight rises, instead of a jump with a reset of the optimizer."""


def gradient_variance(feature: Tensor, logits: Tensor, label: Tensor) -> Tensor:
    """Variance over all voxels of the gradients of their cross-entropies by weight and bias of a 1x1x1 last layer.

    The gradient of a voxel is (p - onehot) ⊗ (feature, 1), so no pass backwards is needed. Rame et al., ICML 2022.

    Args:
        feature: (B, C, X, Y, Z), what the last layer reads.
        logits: (B, K+1, X, Y, Z).
        label: (B, X, Y, Z) integer classes.

    Returns:
        ((K+1) * (C+1),).
    """
    truth = functional.one_hot(label, logits.shape[1])
    error = (torch.softmax(logits.float(), dim=1).movedim(1, -1) - truth).flatten(0, -2)
    read = functional.pad(feature.float().movedim(1, -1).flatten(0, -2), (0, 1), value=1.0)
    mean, mean_square = error.T @ read / len(read), error.square().T @ read.square() / len(read)
    return (mean_square - mean.square()).flatten()


@final
@dataclass(kw_only=True)
class Fishr(Method):
    """Add the weighted distance of the domains' gradient variances from their mean."""

    penalty: float
    anneal: float
    decay: float

    def batch_spec(self) -> BatchSpec:
        """Two domains to compare."""
        return BatchSpec(min_domains=2)

    def taps(self) -> Mapping[str, Tap]:
        """Look at what the last layer reads."""
        return {"decoded": observe}

    def loss(self, ctx: Context, batch: Batch, views: Sequence[View]) -> Mapping[str, Tensor]:
        """ERM's loss and, from `anneal` on, the penalty; the averages are kept from the first step."""
        shown = batch.as_shown(views)
        outputs = ctx.forward(shown.image)
        terms = {"segmentation": ctx.seg_loss(outputs, shown.label)}
        if not self.penalty:
            return terms
        variances = self._averaged(ctx, shown, outputs[0])
        weight = self.penalty * ctx.ramp(self.anneal, RAMP)
        if weight and len(variances) > 1:
            ctx.mark_active()
            terms["fishr"] = weight * (variances - variances.mean(dim=0)).square().mean()
        return terms

    def _averaged(self, ctx: Context, batch: Batch, logits: Tensor) -> Tensor:
        """Moving averages (P, D) of the P domains in the batch over 1 - decay: today's gradient keeps its size."""
        present, feature = torch.unique(batch.domain), ctx.features["decoded"]
        chosen = [batch.domain == index for index in present]
        today = torch.stack([gradient_variance(feature[own], logits[own], batch.label[own]) for own in chosen])
        before = ctx.state.get("variances", torch.zeros(ctx.n_domains, today.shape[1], device=ctx.device))
        seen, shared = _over_workers(ctx, present, today)
        kept = self.decay * before[seen] + (1.0 - self.decay) * shared
        ctx.state["variances"] = before.index_copy(0, seen, kept)
        return (self.decay * before[present] + (1.0 - self.decay) * today) / (1.0 - self.decay)


def _over_workers(ctx: Context, present: Tensor, today: Tensor) -> tuple[Tensor, Tensor]:
    """Domains that any worker saw (P,), and their variances, mean over the workers that saw them (P, D)."""
    own = torch.zeros(ctx.n_domains, 1 + today.shape[1], device=ctx.device)
    total = ctx.sum_over_workers(own.index_copy(0, present, functional.pad(today.detach(), (1, 0), value=1.0)))
    seen = total[:, 0].nonzero()[:, 0]
    return seen, total[seen, 1:] / total[seen, :1]
