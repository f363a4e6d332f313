"""MixStyle as a pure function of features, partners and weights, then the method."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

from torch import Tensor

from dgsweep.method.base import Method, Tap
from dgsweep.method.context import Context
from dgsweep.method.sampling import coin, draw_partners, symmetric_beta
from dgsweep.method.style import Style, restyle, style_of


def mix_styles(feature: Tensor, partner: Tensor, weight: Tensor) -> Tensor:
    """Give each sample weight * its own style + (1 - weight) * its partner's; no gradient flows through styles.

    Feature and result: (B, C, X, Y, Z); partner: (B,) indices; weight: (B,) in [0, 1]. Zhou et al., ICLR 2021.
    """
    own = style_of(feature.detach())
    share = weight.view(-1, 1, 1, 1, 1)
    mean, std = (share * part + (1.0 - share) * part[partner] for part in own)
    return restyle(feature, own, Style(mean, std))


@final
@dataclass(kw_only=True)
class MixStyle(Method):
    """Mix styles at the chosen taps."""

    probability: float
    alpha: float
    mix: str
    layers: tuple[str, ...]

    def taps(self) -> Mapping[str, Tap]:
        """Each chosen layer is mixed on its own."""
        return dict.fromkeys(self.layers, self._mix)

    def _mix(self, feature: Tensor, ctx: Context) -> Tensor:
        n = len(feature)
        if n < 2 or not coin(self.probability, ctx.generator):
            return feature
        ctx.mark_active()
        partner = draw_partners(n, ctx.generator, self._domain(ctx, n))
        return mix_styles(feature, partner, symmetric_beta(self.alpha, n, ctx.generator))

    def _domain(self, ctx: Context, n: int) -> Tensor | None:
        if self.mix != "crossdomain" or ctx.batch is None or len(ctx.batch.domain) != n:
            return None
        return ctx.batch.domain
