"""MIND-SSC as a method; the descriptors are a pure function of the platform, which DG-TTA shares."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from dgsweep.method.base import Batch, Method, View
from dgsweep.method.context import Context
from dgsweep.method.descriptors import PAIRS, mind_ssc


@final
@dataclass(kw_only=True)
class Mind(Method):
    """Train and predict on descriptors instead of intensities."""

    delta: int
    sigma: float
    noise: float

    def in_channels(self, image_channels: int) -> int:
        """Twelve descriptors for each channel of the image."""
        return len(PAIRS) * image_channels

    def views(self, ctx: Context, batch: Batch) -> Sequence[View]:
        """Descriptors of the batch, with noise on the differences."""
        ctx.mark_active()
        b, c, *size = batch.image.shape
        grain = torch.randn(b, c, len(PAIRS), *size, generator=ctx.generator, device=ctx.device)
        return [View(image=mind_ssc(batch.image, self.delta, self.sigma, self.noise * grain), label=batch.label)]

    def infer_input(self, ctx: Context, image: Tensor) -> Tensor:
        """Descriptors without noise, so that a prediction is the same each time."""
        del ctx
        return mind_ssc(image, self.delta, self.sigma)
