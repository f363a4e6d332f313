"""BigAug: its transformations as pure functions with parameters for each sample, then the method."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from dgsweep.method.base import Batch, Method, View
from dgsweep.method.context import Context
from dgsweep.method.volume import gaussian_blur, per_sample, rotations, uniform, unit_range, warp


def sharpen(image: Tensor, fine: Tensor, coarse: Tensor, amount: Tensor) -> Tensor:
    """Unsharp mask on the blurred image: b + amount * (b - blur(b)); sigmas and amount are (B,)."""
    blurred = gaussian_blur(image, fine)
    return blurred + per_sample(amount) * (blurred - gaussian_blur(blurred, coarse))


def gamma_contrast(image: Tensor, gamma: Tensor) -> Tensor:
    """Gamma curve (B,) on the image in [0, 1], then the image's own mean and standard deviation again."""
    bent = unit_range(image) ** per_sample(gamma)
    axes = (2, 3, 4)
    centred = bent - bent.mean(axes, keepdim=True)
    scale = image.std(axes, keepdim=True) / centred.std(axes, keepdim=True).clamp_min(1e-8)
    return centred * scale + image.mean(axes, keepdim=True)


def elastic_shift(noise: Tensor, sigma: Tensor, alpha: Tensor) -> Tensor:
    """Displacement in voxels: alpha times noise (B, 3, X, Y, Z) under a Gaussian of sigma voxels (B,), periodic.

    The mean is removed: a patch smaller than the Gaussian would otherwise be shifted out of its own frame.
    """
    noise = noise - noise.mean((2, 3, 4), keepdim=True)
    squared = torch.zeros((), device=noise.device)
    for axis, size in zip((2, 3, 4), noise.shape[2:], strict=True):
        frequency = torch.fft.fftfreq(size, device=noise.device) ** 2
        squared = squared + frequency.view([-1 if a == axis else 1 for a in range(5)])
    transfer = torch.exp(-2.0 * (math.pi * per_sample(sigma)) ** 2 * squared)
    smooth: Tensor = torch.fft.ifftn(torch.fft.fftn(noise, dim=(2, 3, 4)) * transfer, dim=(2, 3, 4)).real
    return per_sample(alpha) * smooth


@final
@dataclass(kw_only=True)
class BigAug(Method):
    """Image quality, then appearance, then shape: the nine transformations in the paper's order."""

    probability: float
    magnitude: float

    def views(self, ctx: Context, batch: Batch) -> Sequence[View]:
        """One view, each transformation on its own share of the samples; the label moves with the image."""
        image, label, n, m = batch.image, batch.label, len(batch.image), self.magnitude
        chosen = torch.rand(9, n, generator=ctx.generator, device=image.device) < self.probability
        if not bool(chosen.any()):
            return [View(image=image, label=label)]
        ctx.mark_active()

        def draw(low: float, high: float, *more: int) -> Tensor:
            return uniform(low, high, (n, *more), ctx.generator, image.device)

        noise = torch.randn(image.shape, generator=ctx.generator, device=image.device)
        quality = [
            lambda x: sharpen(x, m * draw(0.25, 1.5), m * draw(0.25, 1.5), m * draw(10.0, 30.0)),
            lambda x: gaussian_blur(x, m * draw(0.25, 1.5)),
            lambda x: x + per_sample(m * draw(0.1, 1.0)) * noise,
        ]
        appearance = [
            lambda x: x + per_sample(m * draw(-0.1, 0.1)),
            lambda x: gamma_contrast(x, draw(0.5, 4.5) ** m),
            lambda x: x * per_sample(1.0 + m * draw(-0.1, 0.1)) + per_sample(m * draw(-0.1, 0.1)),
        ]
        for index, transform in enumerate([*quality, *appearance]):
            image = torch.where(per_sample(chosen[index]), transform(image), image)
        if bool(chosen[6:].any()):
            degrees = m * draw(-20.0, 20.0, 3) * chosen[6, :, None]
            zoom = torch.where(chosen[7], draw(0.4, 1.6) ** m, 1.0)
            shift = elastic_shift(draw(-1.0, 1.0, 3, *label.shape[1:]), draw(10.0, 13.0), m * draw(0.0, 1000.0))
            shift = torch.where(per_sample(chosen[8]), shift, 0.0)
            matrix = rotations(torch.deg2rad(degrees)) / zoom[:, None, None]
            moved, warped = warp(image, label, matrix, shift, ctx.recipe.spacing_mm)
            still = ~chosen[6:].any(0)
            image = torch.where(per_sample(still), image, moved)
            label = torch.where(still.view(-1, 1, 1, 1), label, warped)
        return [View(image=image, label=label)]
