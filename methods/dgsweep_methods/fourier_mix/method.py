"""Fourier amplitude mix between domains; the formula is `dgsweep.method.amplitude.mix_amplitude`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch

from dgsweep.method.amplitude import mix_amplitude
from dgsweep.method.base import Batch, BatchSpec, Method, View
from dgsweep.method.context import Context
from dgsweep.method.sampling import draw_partners


@final
@dataclass(kw_only=True)
class FourierMix(Method):
    """Show the network the chosen samples with amplitudes mixed with those of a sample of another domain."""

    probability: float
    alpha: float
    extent: float

    def batch_spec(self) -> BatchSpec:
        """Partners come from another domain of the batch."""
        return BatchSpec(min_domains=2)

    def views(self, ctx: Context, batch: Batch) -> Sequence[View]:
        """Mix amplitudes into the chosen samples; labels stay."""
        image = batch.image
        partner = draw_partners(len(image), ctx.generator, batch.domain)
        draws = torch.rand(2, len(image), generator=ctx.generator, device=image.device)
        chosen = (draws[0] < self.probability) & (batch.domain[partner] != batch.domain)
        if not bool(chosen.any()):
            return super().views(ctx, batch)
        ctx.mark_active()
        mixed = mix_amplitude(image, image[partner], self.alpha * draws[1], self.extent)
        return [View(image=torch.where(chosen.view(-1, 1, 1, 1, 1), mixed, image), label=batch.label)]
