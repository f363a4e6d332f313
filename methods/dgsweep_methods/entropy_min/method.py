"""Entropy of a prediction, then the method."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from dgsweep.method.base import Batch, Method, View
from dgsweep.method.context import Context
from dgsweep.method.teacher import ramped_weight


def relative_entropy(logits: Tensor) -> Tensor:
    """Entropy of the class probabilities of logits (B, K+1, X, Y, Z) over ln(K+1), mean over voxels: in [0, 1].

    Grandvalet and Bengio, NeurIPS 2004, divided by its greatest value as in Vu et al., CVPR 2019.
    """
    likely = torch.log_softmax(logits.float(), dim=1)
    return -(likely.exp() * likely).sum(dim=1).mean() / math.log(logits.shape[1])


@final
@dataclass(kw_only=True)
class EntropyMinimisation(Method):
    """Add the entropy of predictions for unlabelled patches."""

    weight: float
    ramp: float

    def loss(self, ctx: Context, batch: Batch, views: Sequence[View]) -> Mapping[str, Tensor]:
        """ERM's loss, and the entropy of the finest output on unlabelled patches."""
        terms = dict(super().loss(ctx, batch, views))
        if not self.weight or batch.unlabelled is None:
            return terms
        ctx.mark_active()
        entropy = relative_entropy(ctx.forward(batch.unlabelled.image)[0])
        return {**terms, "entropy": ramped_weight(ctx, self.weight, self.ramp) * entropy}
