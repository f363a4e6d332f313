"""Models Genesis: the corrupted view of a patch, and the error of what the network makes of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor
from torch.nn import functional

from dgsweep.method.base import Batch, View
from dgsweep.method.context import Context
from dgsweep.method.restoration import RestoringMethod
from dgsweep.method.volume import per_sample, uniform, unit_range
from dgsweep_methods.models_genesis.corruption import curved, locally_shuffled, painted, window_sides


@final
@dataclass(kw_only=True)
class ModelsGenesis(RestoringMethod):
    """Show the network a corrupted patch and ask for the whole original."""

    p_shuffle: float
    p_curve: float
    p_paint: float
    p_inner: float

    def views(self, ctx: Context, batch: Batch) -> Sequence[View]:
        """The patch after shuffle, curve and paint, each on its own random share of the samples, in that order."""
        if self.p_shuffle or self.p_curve or self.p_paint:
            ctx.mark_active()
        image, stream = batch.image, ctx.generator

        def drawn(share: float) -> Tensor:
            return uniform(0.0, 1.0, (len(image),), stream, image.device) < share

        low, high = image.amin((2, 3, 4), keepdim=True), image.amax((2, 3, 4), keepdim=True)
        unit = unit_range(image)
        sides = window_sides(image.shape[2:], stream)
        for share, corrupt in (
            (self.p_shuffle, lambda shown: locally_shuffled(shown, sides, stream)),
            (self.p_curve, lambda shown: curved(shown, stream)),
            (self.p_paint, lambda shown: painted(shown, drawn(self.p_inner), stream)),
        ):
            unit = torch.where(per_sample(drawn(share)), corrupt(unit), unit)
        return [View(image=low + (high - low) * unit, label=batch.label)]

    def loss(self, ctx: Context, batch: Batch, views: Sequence[View]) -> Mapping[str, Tensor]:
        """Mean squared error over the whole patch, corrupted or not."""
        restored = self.restored(ctx, batch.as_shown(views).image)
        return {"restoration": functional.mse_loss(restored, batch.image.float())}
