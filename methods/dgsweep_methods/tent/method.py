"""Entropy of a prediction as a pure function of logits, then the method."""

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from dgsweep.method.base import Method
from dgsweep.method.context import Context
from dgsweep.method.networks import norm_parameters, require_norm_parameters
from dgsweep.method.patches import tiles


def entropy(logits: Tensor, min_foreground: float) -> tuple[Tensor, Tensor]:
    """Sum of the voxels' entropies -sum_k p_k log p_k, and the number of voxels that it was taken over.

    Counted are voxels (of the current prediction) with a foreground probability 1 - p_0 >= `min_foreground`.
    logits: (B, K+1, X, Y, Z), class 0 is the background.
    """
    log_probability = torch.log_softmax(logits.float(), dim=1)
    probability = log_probability.exp()
    counted = 1.0 - probability[:, 0].detach() >= min_foreground
    uncertainty = -(probability * log_probability).sum(dim=1)
    return torch.where(counted, uncertainty, 0.0).sum(), counted.sum()


@final
@dataclass(kw_only=True)
class Tent(Method):
    """Minimise the entropy of one case over the norms' affine parameters."""

    learning_rate: float
    steps: int
    min_foreground: float

    def setup(self, ctx: Context) -> None:
        """Refuse, before training, a network on which nothing could be adapted."""
        if self.steps:
            require_norm_parameters(ctx.network, "tent")

    def adapt(self, ctx: Context, image: Tensor) -> None:
        """Some updates by Adam, each from the gradient over the whole case, tile by tile."""
        chosen = norm_parameters(ctx.network)
        optimizer = torch.optim.Adam(chosen, lr=self.learning_rate, betas=(0.9, 0.999), weight_decay=0.0)
        for _ in range(self.steps):
            optimizer.zero_grad()
            counted = torch.zeros((), device=ctx.device)
            for tile in tiles(image, ctx.recipe.patch):
                total, voxels = entropy(ctx.forward(ctx.method.infer_input(ctx, tile))[0], self.min_foreground)
                total.backward(inputs=chosen)  # adds to what the tiles before gave
                counted += voxels
            if not bool(counted):
                return  # no voxel that might be foreground: the source's prediction stays
            ctx.mark_active()
            for parameter in chosen:
                parameter.grad = None if parameter.grad is None else parameter.grad / counted
            optimizer.step()
