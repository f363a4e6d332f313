"""Vector quantisation with a learned codebook, whose loss reaches the optimizer without passing by the trainer."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


class CarriedLoss(torch.autograd.Function):
    """Hands a feature on unchanged; the backward pass also descends on `term`, as if it were added to the loss."""

    @staticmethod
    def forward(_ctx: Any, feature: Tensor, term: Tensor) -> Tensor:
        """The feature itself; `term` is a scalar."""
        del term
        return feature.view_as(feature)

    @staticmethod
    def backward(_ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """The gradient of the feature as it comes, and 1 for the term."""
        return gradient, gradient.new_ones(())


class Quantiser(nn.Module):
    """Replaces each vector by its nearest code; gradients pass straight through. Van den Oord et al., NeurIPS 2017.

    Args:
        codes: how many.
        channels: of a vector and of a code.
        commitment: weight of the squared distance that pulls features to their codes; the other pulls codes.
        weight: of both together, beside the loss of the segmentation. They count in training only.
    """

    def __init__(self, codes: int, channels: int, commitment: float, weight: float) -> None:
        super().__init__()
        self.codebook = nn.Parameter(torch.empty(codes, channels).uniform_(-1.0 / codes, 1.0 / codes))
        self.commitment, self.weight = commitment, weight

    def forward(self, feature: Tensor) -> Tensor:
        """(B, C, X, Y) to the codes that are nearest, in the same shape."""
        codes = functional.embedding(nearest(feature.detach(), self.codebook.detach()), self.codebook).movedim(-1, 1)
        passed = feature + (codes - feature).detach()
        if not (self.training and torch.is_grad_enabled()):
            return passed
        term = self.weight * quantisation_loss(feature.float(), codes, self.commitment)
        carrying: Tensor = CarriedLoss.apply(passed, term)
        return carrying


def nearest(feature: Tensor, codebook: Tensor) -> Tensor:
    """Index (B, X, Y) of the code (K, C) with the least Euclidean distance to each vector of (B, C, X, Y)."""
    with torch.autocast(feature.device.type, enabled=False):
        vectors = feature.float().movedim(1, -1)
        distance = codebook.square().sum(dim=1) - 2.0 * vectors @ codebook.T  # plus a constant of each vector
    return distance.argmin(dim=-1)


def quantisation_loss(feature: Tensor, codes: Tensor, commitment: float) -> Tensor:
    """Mean square of codes to features held fixed, plus `commitment` times that of features to codes held fixed."""
    return functional.mse_loss(codes, feature.detach()) + commitment * functional.mse_loss(feature, codes.detach())
