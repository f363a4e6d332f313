"""IRMv1's penalty in closed form, then the method."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from dgsweep.method.base import Batch, BatchSpec, Method, View
from dgsweep.method.context import Context

RAMP = 0.05
"""Share of the budget over which the weight rises, instead of a jump with a reset of the optimizer."""


def invariance_penalty(logits: Tensor, label: Tensor) -> Tensor:
    """Squared gradient by the scale of the logits of one domain, as the product of those of two halves of its voxels.

    The derivative of cross-entropy(s · logits, label) by s at s = 1 is, at each voxel, Σ_k p_k z_k − z_label. The
    halves are the even and the odd voxels in storage order. Arjovsky et al., 2019, section 3.1 and appendix D.

    Args:
        logits: (B, K+1, X, Y, Z).
        label: (B, X, Y, Z) integer classes.
    """
    z = logits.float()
    by_scale = (torch.softmax(z, dim=1) * z).sum(dim=1) - z.gather(1, label[:, None]).squeeze(1)
    return by_scale.flatten()[::2].mean() * by_scale.flatten()[1::2].mean()


@final
@dataclass(kw_only=True)
class Irm(Method):
    """Add the mean of the domains' invariance penalties."""

    penalty: float
    anneal: float

    def batch_spec(self) -> BatchSpec:
        """Two domains to compare."""
        return BatchSpec(min_domains=2)

    def loss(self, ctx: Context, batch: Batch, views: Sequence[View]) -> Mapping[str, Tensor]:
        """ERM's loss and the weighted penalty on the finest output, mean over the domains in the batch."""
        shown = batch.as_shown(views)
        outputs = ctx.forward(shown.image)
        terms = {"segmentation": ctx.seg_loss(outputs, shown.label)}
        if self.penalty:
            ctx.mark_active()
            before = min(1.0, self.penalty)
            weight = before + (self.penalty - before) * ctx.ramp(self.anneal, RAMP)
            chosen = [batch.domain == index for index in torch.unique(batch.domain)]
            penalties = [invariance_penalty(outputs[0][own], shown.label[own]) for own in chosen]
            terms["invariance"] = weight * torch.stack(penalties).mean()
        return terms
