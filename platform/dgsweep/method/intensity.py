"""Strong views of a patch by intensity alone: shapes stay where they are, so that a prediction still fits."""

import torch
from torch import Tensor

from dgsweep.method.volume import gaussian_blur, per_sample, uniform, unit_range

P_JITTER, P_BLUR, P_NOISE = 0.8, 0.5, 0.5
"""Shares of the samples that are changed (the first two: UniMatch's release for medical images)."""
VOXELS = (2, 3, 4)


def jitter(image: Tensor, gamma: Tensor, brightness: Tensor, contrast: Tensor) -> Tensor:
    """Gamma, brightness and contrast (about the mean), each (B,), within the image's own range, which clips them.

    Image (B, C, X, Y, Z). All three are monotone: no contrast is inverted.
    """
    low, high = image.amin(VOXELS, keepdim=True), image.amax(VOXELS, keepdim=True)
    unit = (unit_range(image) ** per_sample(gamma) * per_sample(brightness)).clamp(0.0, 1.0)
    mean = unit.mean(VOXELS, keepdim=True)
    unit = ((unit - mean) * per_sample(contrast) + mean).clamp(0.0, 1.0)
    return unit * (high - low) + low


def strong_view(image: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Jitter, blur and noise, each on its own random share of the samples; strength 0 returns the image itself.

    At strength 0.5: brightness and contrast x 0.5 to 1.5, gamma 0.6 to 1.65, blur up to 1 voxel and noise up to 0.1
    of the z-scored intensity, the last three about nnU-Net's.

    Args:
        image: (B, C, X, Y, Z), z-scored.
        strength: In [0, 1].
        generator: Stream of all draws, on the device of the image.
    """
    if strength == 0.0:
        return image
    n = len(image)

    def draw(low: float, high: float) -> Tensor:
        return uniform(low, high, (n,), generator, image.device)

    def chosen(share: float) -> Tensor:
        return per_sample(draw(0.0, 1.0) < share)

    factors = [draw(1.0 - strength, 1.0 + strength) for _ in range(2)]
    image = torch.where(chosen(P_JITTER), jitter(image, draw(-strength, strength).exp(), *factors), image)
    image = torch.where(chosen(P_BLUR), gaussian_blur(image, draw(0.0, 2.0 * strength)), image)
    grain = torch.randn(image.shape, generator=generator, device=image.device, dtype=image.dtype)
    return torch.where(chosen(P_NOISE), image + per_sample(draw(0.0, 0.2 * strength)) * grain, image)
