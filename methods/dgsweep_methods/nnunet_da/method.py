"""The intensity augmentations of nnU-Net v2 as pure functions of a batch, then the method."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import final

import torch
from torch import Tensor
from torch.nn import functional

from dgsweep.method.base import Batch, Method, View
from dgsweep.method.context import Context

REACH = 3
"""Taps of the blur on each side of the middle: enough for six sigma in all at sigma 1."""
P_CHANNEL = 0.5
"""Blur and low resolution touch each channel of a chosen sample with this probability."""
ANISOTROPY = 3.0
"""Beyond this ratio of spacings the coarse axis keeps its resolution."""
VOXELS = (2, 3, 4)


def blur_axis(image: Tensor, sigma: Tensor, axis: int) -> Tensor:
    """Gaussian blur of image (B, C, X, Y, Z) along one of its axes 2 to 4, with sigma (B, C) in voxels.

    The window spans about six sigma (an odd number of taps); borders are mirrored.
    """
    reach = min(REACH, image.shape[axis] - 1)
    place = torch.arange(-reach, reach + 1, device=image.device)
    half = torch.round(3.0 * sigma - 0.25)[..., None]
    weight = torch.exp(-0.5 * (place / sigma[..., None]) ** 2) * (place.abs() <= half)
    weight = weight / weight.sum(dim=-1, keepdim=True)
    padding = [reach if one == axis else 0 for one in reversed(VOXELS) for _ in range(2)]
    padded = functional.pad(image, padding, mode="reflect").flatten(0, 1)[None]
    kernel = weight.view(sigma.numel(), 1, *[-1 if one == axis else 1 for one in VOXELS])
    return functional.conv3d(padded, kernel, groups=sigma.numel()).view(image.shape)


def blur(image: Tensor, sigma: Tensor) -> Tensor:
    """Gaussian blur of image (B, C, X, Y, Z) with its own sigma (B, C, 3) along each axis."""
    for index, axis in enumerate(VOXELS):
        image = blur_axis(image, sigma[..., index], axis)
    return image


def scale_contrast(image: Tensor, factor: Tensor) -> Tensor:
    """Scale image (B, C, X, Y, Z) about its mean by factor (B, C), clipped to the image's own range."""
    mean = image.mean(dim=VOXELS, keepdim=True)
    scaled = (image - mean) * factor[..., None, None, None] + mean
    return scaled.clamp(image.amin(dim=VOXELS, keepdim=True), image.amax(dim=VOXELS, keepdim=True))


def lower_resolution(image: Tensor, zoom: Tensor, axis: int) -> Tensor:
    """Shrink image (B, C, X, Y, Z) along an axis by zoom (B, C) to the nearest voxels, then back linearly."""
    size = image.shape[axis]
    small = torch.round(zoom * size).clamp(min=1)[..., None]
    at = ((torch.arange(size, device=image.device) + 0.5) * small / size - 0.5).clamp(min=0)
    low = at.floor()
    share = at - low
    shape = [*zoom.shape, *[size if one == axis else 1 for one in VOXELS]]

    def kept(index: Tensor) -> Tensor:
        source = torch.floor((torch.minimum(index, small - 1) + 0.5) * size / small).long().clamp(max=size - 1)
        return image.gather(axis, source.view(shape).expand_as(image))

    return torch.lerp(kept(low), kept(low + 1), share.view(shape).to(image.dtype))


def correct_gamma(image: Tensor, gamma: Tensor) -> Tensor:
    """Raise image (B, C, X, Y, Z), scaled to [0, 1], to the power gamma (B, C); mean and deviation are kept."""
    mean, deviation = image.mean(dim=VOXELS, keepdim=True), image.std(dim=VOXELS, keepdim=True)
    low = image.amin(dim=VOXELS, keepdim=True)
    span = image.amax(dim=VOXELS, keepdim=True) - low
    bent = ((image - low) / span.clamp(min=1e-7)) ** gamma[..., None, None, None] * span + low
    centred = bent - bent.mean(dim=VOXELS, keepdim=True)
    return centred * (deviation / bent.std(dim=VOXELS, keepdim=True).clamp(min=1e-7)) + mean


def fine_axes(spacing_mm: tuple[float, float, float]) -> tuple[int, ...]:
    """Axes of an image (B, C, X, Y, Z) that may lose resolution: all, without the coarse one of anisotropic voxels."""
    coarse = max(spacing_mm) if max(spacing_mm) / min(spacing_mm) > ANISOTROPY else float("inf")
    return tuple(axis for axis, size in zip(VOXELS, spacing_mm, strict=True) if size < coarse)


def uniform(shape: Sequence[int], ends: Sequence[float], generator: torch.Generator) -> Tensor:
    """Numbers from U(ends)."""
    return ends[0] + (ends[1] - ends[0]) * torch.rand(tuple(shape), generator=generator, device=generator.device)


def around_one(shape: Sequence[int], ends: Sequence[float], generator: torch.Generator) -> Tensor:
    """Half of the numbers from U(low, 1), half from U(1, high): nnU-Net's draw of a factor."""
    below = uniform(shape, (0.0, 1.0), generator) < 0.5
    return torch.where(below, uniform(shape, (ends[0], 1.0), generator), uniform(shape, (1.0, ends[1]), generator))


@final
@dataclass(kw_only=True)
class NnunetDa(Method):
    """Show the network an image with nnU-Net's intensity changes, in nnU-Net's order."""

    p_noise: float
    p_blur: float
    p_brightness: float
    p_contrast: float
    p_low_resolution: float
    p_gamma_inverted: float
    p_gamma: float
    noise: float
    blur: tuple[float, float]
    brightness: tuple[float, float]
    contrast: tuple[float, float]
    low_resolution: float
    gamma: tuple[float, float]

    def views(self, ctx: Context, batch: Batch) -> Sequence[View]:
        """Change the chosen samples; labels stay."""
        image, stages = batch.image, self._stages(fine_axes(ctx.recipe.spacing_mm))
        limits = torch.tensor([[probability] for probability, _ in stages], device=image.device)
        draws = (uniform((len(stages), len(image)), (0.0, 1.0), ctx.generator) < limits).tolist()
        if any(map(any, draws)):
            ctx.mark_active()
            image = image.clone()
        for chosen, (_, change) in zip(draws, stages, strict=True):
            if any(chosen):
                places = torch.tensor([place for place, wanted in enumerate(chosen) if wanted], device=image.device)
                image[places] = change(image[places], ctx.generator)
        return [View(image=image, label=batch.label)]

    def _stages(self, fine: tuple[int, ...]) -> list[tuple[float, Callable[[Tensor, torch.Generator], Tensor]]]:
        return [
            (self.p_noise, self._add_noise),
            (self.p_blur, self._blurred),
            (self.p_brightness, self._brighter),
            (self.p_contrast, self._contrasted),
            (self.p_low_resolution, partial(self._coarser, axes=fine)),
            (self.p_gamma_inverted, partial(self._bent, sign=-1.0)),
            (self.p_gamma, partial(self._bent, sign=1.0)),
        ]

    def _add_noise(self, image: Tensor, generator: torch.Generator) -> Tensor:
        deviation = uniform((len(image), 1, 1, 1, 1), (0.0, self.noise), generator)
        grain = torch.randn(len(image), 1, *image.shape[2:], generator=generator, device=image.device)
        return image + deviation * grain

    def _blurred(self, image: Tensor, generator: torch.Generator) -> Tensor:
        sigma = uniform((*image.shape[:2], 3), self.blur, generator)
        return _some_channels(image, generator, lambda some, of: blur(some, sigma.flatten(0, 1)[of, None]))

    def _brighter(self, image: Tensor, generator: torch.Generator) -> Tensor:
        return image * around_one((*image.shape[:2], 1, 1, 1), self.brightness, generator)

    def _contrasted(self, image: Tensor, generator: torch.Generator) -> Tensor:
        return scale_contrast(image, around_one(image.shape[:2], self.contrast, generator))

    def _coarser(self, image: Tensor, generator: torch.Generator, *, axes: tuple[int, ...]) -> Tensor:
        zoom = uniform(image.shape[:2], (self.low_resolution, 1.0), generator)

        def coarse(some: Tensor, of: Tensor) -> Tensor:
            for axis in axes:
                some = lower_resolution(some, zoom.flatten()[of, None], axis)
            return some

        return _some_channels(image, generator, coarse)

    def _bent(self, image: Tensor, generator: torch.Generator, *, sign: float) -> Tensor:
        return sign * correct_gamma(sign * image, around_one(image.shape[:2], self.gamma, generator))


def _some_channels(image: Tensor, generator: torch.Generator, change: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Image (B, C, X, Y, Z) with half of its channels changed, at random.

    `change` gets those channels alone (n, 1, X, Y, Z) and their places among all B x C.
    """
    chosen = uniform((*image.shape[:2], 1, 1, 1), (0.0, 1.0), generator) < P_CHANNEL
    of = chosen.flatten().nonzero()[:, 0]
    if not len(of):
        return image
    channels = image.flatten(0, 1)[:, None]
    return channels.index_copy(0, of, change(channels[of], of)).view(image.shape)
