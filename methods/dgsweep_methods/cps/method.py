"""Cross pseudo supervision of two predictions, their mean, then the method."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional

from dgsweep.method.base import Batch, Method, View
from dgsweep.method.context import Context
from dgsweep.method.teacher import ramped_weight


def cross_supervision(first: Tensor, second: Tensor) -> Tensor:
    """CE of each prediction with the other's most probable classes, both ways, mean over voxels; a scalar.

    Both are logits (B, K+1, X, Y, Z); no gradient passes through the classes. Chen et al., CVPR 2021, equation 2.
    """
    first, second = first.float(), second.float()
    return functional.cross_entropy(first, second.argmax(1)) + functional.cross_entropy(second, first.argmax(1))


class MeanOf(nn.Module):
    """Log of the mean of two networks' class probabilities: logits whose softmax is that mean."""

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first, self.second = first, second

    def forward(self, image: Tensor) -> list[Tensor]:
        """Finest output only, (B, K+1, X, Y, Z) in float32."""
        one, other = (torch.log_softmax(net(image)[0].float(), dim=1) for net in (self.first, self.second))
        return [torch.logaddexp(one, other)]


@final
@dataclass(kw_only=True)
class CrossPseudoSupervision(Method):
    """Train two networks on the labels and on each other's answers; their mean predicts."""

    weight: float
    ramp: float
    labelled_too: bool

    def setup(self, ctx: Context) -> None:
        """A second network, with weights of its own."""
        ctx.new_network("second")

    def loss(self, ctx: Context, batch: Batch, views: Sequence[View]) -> Mapping[str, Tensor]:
        """Both networks' segmentation losses, and the cross supervision of their finest outputs."""
        shown = batch.as_shown(views)
        first, second = ctx.forward(shown.image), ctx.forward_with(ctx.modules["second"], shown.image)
        terms = {"segmentation": ctx.seg_loss(first, shown.label), "second": ctx.seg_loss(second, shown.label)}
        if not self.weight or batch.unlabelled is None:
            return terms
        ctx.mark_active()
        image = batch.unlabelled.image
        ones, others = [ctx.forward(image)[0]], [ctx.forward_with(ctx.modules["second"], image)[0]]
        if self.labelled_too:
            ones, others = [first[0], *ones], [second[0], *others]
        cross = cross_supervision(torch.cat(ones), torch.cat(others))
        return {**terms, "cross": ramped_weight(ctx, self.weight, self.ramp) * cross}

    def predictor(self, ctx: Context) -> nn.Module:
        """The mean of both."""
        return MeanOf(ctx.network, ctx.modules["second"])
