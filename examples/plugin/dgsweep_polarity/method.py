"""The method itself; imported only where a trial runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from dgsweep.method.base import Batch, Method, View
from dgsweep.method.context import Context


@final
@dataclass(kw_only=True)
class Polarity(Method):
    """Multiply each chosen sample by -1; images are z-scored, so its mean stays 0."""

    probability: float

    def views(self, ctx: Context, batch: Batch) -> Sequence[View]:
        """Invert the chosen samples; labels stay."""
        draw = torch.rand(len(batch.image), generator=ctx.generator, device=batch.image.device)
        chosen = draw < self.probability
        if bool(chosen.any()):
            ctx.mark_active()
        sign = torch.where(chosen, -1.0, 1.0).view(-1, 1, 1, 1, 1)
        return [View(image=sign * batch.image, label=batch.label)]
