"""GIN as a method; its random network is a pure function of the platform, which GIN + IPA shares."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch

from dgsweep.method.base import Batch, Method, View
from dgsweep.method.context import Context
from dgsweep.method.random_conv import blend, random_network


@final
@dataclass(kw_only=True)
class Gin(Method):
    """Show the network a re-coloured version of each chosen sample."""

    probability: float
    layers: int
    channels: int
    kernels: tuple[int, ...]

    def views(self, ctx: Context, batch: Batch) -> Sequence[View]:
        """Re-colour the chosen samples; labels stay."""
        image = batch.image
        chosen = torch.rand(len(image), generator=ctx.generator, device=image.device) < self.probability
        if not bool(chosen.any()):
            return [View(image=image, label=batch.label)]
        ctx.mark_active()
        alpha = torch.rand(len(image), generator=ctx.generator, device=image.device)
        coloured = random_network(image, self.layers, self.channels, self.kernels, ctx.generator)
        shown = torch.where(chosen.view(-1, 1, 1, 1, 1), blend(image, coloured, alpha), image)
        return [View(image=shown, label=batch.label)]
