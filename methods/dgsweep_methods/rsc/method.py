"""Which channels and which samples are challenged, as pure functions, then the method."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from dgsweep.method.base import Batch, Method, Tap, View
from dgsweep.method.context import Context

MASK = "rsc.mask"
"""Where the channel mask of a step stands among the features, which are forgotten after it."""


def kept_channels(gradient: Tensor, drop: float) -> Tensor:
    """1 where a channel's mean gradient lies below the (1 - drop) quantile of its sample's channels, else 0.

    Huang et al., ECCV 2020, channel-wise mode. Gradient (B, C, X, Y, Z), result (B, C, 1, 1, 1).
    """
    support = gradient.float().mean(dim=(2, 3, 4), keepdim=True)
    return (support < torch.quantile(support, 1.0 - drop, dim=1, keepdim=True)).float()


def challenged_samples(before: Tensor, after: Tensor, drop: float) -> Tensor:
    """Whether a sample's mean true-class probability (B,) falls by no less than the (1 - drop) quantile; (B,)."""
    fall = before - after
    return fall >= torch.quantile(fall, 1.0 - drop)


def true_class_mean(values: Tensor, label: Tensor) -> Tensor:
    """Mean over voxels of the value (B, K+1, X, Y, Z) of the true class; (B,)."""
    return values.float().gather(1, label[:, None]).flatten(1).mean(dim=1)


def mute(feature: Tensor, ctx: Context) -> Tensor:
    """The feature map times the mask, if there is one."""
    return feature * ctx.features[MASK] if MASK in ctx.features else feature


@final
@dataclass(kw_only=True)
class Rsc(Method):
    """Mute, in a second pass, the channels that support the labels most; train on it the samples that it hurts."""

    feature_drop: float
    batch_drop: float

    def taps(self) -> Mapping[str, Tap]:
        """Mute the bottleneck where there is a mask."""
        return {"bottleneck": mute}

    def loss(self, ctx: Context, batch: Batch, views: Sequence[View]) -> Mapping[str, Tensor]:
        """Segmentation loss of muted outputs for challenged samples, of plain ones for the others."""
        if not self.feature_drop:
            return super().loss(ctx, batch, views)
        ctx.mark_active()
        shown = batch.as_shown(views)
        plain = ctx.forward(shown.image)
        score, feature = true_class_mean(plain[0], shown.label).sum(), ctx.features["bottleneck"]
        (gradient,) = torch.autograd.grad(score, [feature], retain_graph=True)
        ctx.features[MASK] = kept_channels(gradient, self.feature_drop).to(feature.dtype)
        muted = ctx.forward(shown.image)
        del ctx.features[MASK]
        before, after = (true_class_mean(out[0].detach().float().softmax(1), shown.label) for out in (plain, muted))
        chosen = challenged_samples(before, after, self.batch_drop).view(-1, 1, 1, 1, 1)
        outputs = [torch.where(chosen, challenged, easy) for challenged, easy in zip(muted, plain, strict=True)]
        return {"segmentation": ctx.seg_loss(outputs, shown.label)}
