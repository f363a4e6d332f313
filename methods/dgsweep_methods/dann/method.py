"""Gradient reversal and the discriminator's loss, then the method."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional

from dgsweep.method.base import Batch, BatchSpec, Method, Tap, View
from dgsweep.method.context import Context
from dgsweep.method.features import observe, voxel_vectors

STEEPNESS = 10.0
"""Ganin et al.: the weight rises as 2 / (1 + exp(-10 p)) - 1 with the share p of the training."""


def reverse_gradient(value: Tensor, weight: float) -> Tensor:
    """The value itself, whose gradient arrives multiplied by -weight. Ganin et al., JMLR 2016, section 4.2."""
    return value.detach() + weight * (value.detach() - value)


def domain_loss(discriminator: nn.Module, vectors: Tensor, domain: Tensor, gradient_penalty: float) -> Tensor:
    """Cross-entropy of the domain (N,) of each vector (N, C), plus the weighted mean squared gradient by the vector."""
    losses = functional.cross_entropy(discriminator(vectors), domain, reduction="none")
    if not gradient_penalty:
        return losses.mean()
    (gradient,) = torch.autograd.grad(losses.sum(), [vectors], create_graph=True)
    return losses.mean() + gradient_penalty * gradient.square().sum(dim=1).mean()


@final
@dataclass(kw_only=True)
class Dann(Method):
    """Train a discriminator on reversed bottleneck vectors, in the same step as the network."""

    penalty: float
    gradient_penalty: float
    width: int
    voxels: int

    def batch_spec(self) -> BatchSpec:
        """Two domains to tell apart."""
        return BatchSpec(min_domains=2)

    def taps(self) -> Mapping[str, Tap]:
        """Look at the bottleneck."""
        return {"bottleneck": observe}

    def setup(self, ctx: Context) -> None:
        """Build the discriminator: three linear layers."""
        sizes = [ctx.tap_channels("bottleneck"), self.width, self.width]
        hidden = [part for a, b in pairwise(sizes) for part in (nn.Linear(a, b), nn.ReLU())]
        ctx.add_module("discriminator", nn.Sequential(*hidden, nn.Linear(self.width, ctx.n_domains)))

    def loss(self, ctx: Context, batch: Batch, views: Sequence[View]) -> Mapping[str, Tensor]:
        """ERM's loss and the discriminator's."""
        shown = batch.as_shown(views)
        terms = {"segmentation": ctx.seg_loss(ctx.forward(shown.image), shown.label)}
        if self.penalty:
            ctx.mark_active()
            weight = self.penalty * math.tanh(STEEPNESS * ctx.progress() / 2)  # = 2 / (1 + exp(-10 p)) - 1
            vectors = voxel_vectors(ctx.features["bottleneck"], self.voxels, ctx.generator)
            reversed_vectors = reverse_gradient(vectors, weight).flatten(0, 1)
            domain = batch.domain.repeat_interleave(vectors.shape[1])
            loss = domain_loss(ctx.modules["discriminator"], reversed_vectors, domain, self.gradient_penalty)
            terms["domain"] = loss
        return terms
