"""The mean squared logit, then the method."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

from torch import Tensor

from dgsweep.method.base import Batch, Method, Tap, View
from dgsweep.method.context import Context
from dgsweep.method.features import observe


def mean_square(logits: Tensor) -> Tensor:
    """Mean square over samples, classes and voxels; logits: (B, K+1, X, Y, Z). Pezeshki et al., NeurIPS 2021."""
    return logits.float().square().mean()


@final
@dataclass(kw_only=True)
class SpectralDecoupling(Method):
    """Add the weighted mean squared logit of the finest output."""

    penalty: float
    variant: str

    def taps(self) -> Mapping[str, Tap]:
        """Look at the bottleneck, as shipped."""
        return {"bottleneck": observe} if self.variant == "as_shipped" else {}

    def loss(self, ctx: Context, batch: Batch, views: Sequence[View]) -> Mapping[str, Tensor]:
        """ERM's loss and the penalty."""
        shown = batch.as_shown(views)
        outputs = ctx.forward(shown.image)
        terms = {"segmentation": ctx.seg_loss(outputs, shown.label)}
        if self.penalty:
            ctx.mark_active()
            shipped = self.variant == "as_shipped"
            terms["decoupling"] = self.penalty * mean_square(ctx.features["bottleneck"] if shipped else outputs[0])
        return terms
