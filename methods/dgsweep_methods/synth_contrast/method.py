"""Contrast synthesis: clusters, Gaussian mixture and thick voxels as pure functions, then the method."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor
from torch.nn import functional

from dgsweep.method.base import Batch, Method, View
from dgsweep.method.context import Context
from dgsweep.method.volume import gaussian_blur, per_sample, rotations, uniform, unit_range, warp

NODES = {"bias": 4, "elastic": 6}
"""Control points along an axis: 0.025 and 0.04 of the 160 voxels of the released code."""


def cluster_background(image: Tensor, label: Tensor, clusters: int, rounds: int = 10, probes: int = 8192) -> Tensor:
    """Classes (B, X, Y, Z): intensity clusters 0 ... clusters-1 of the background, then the structures.

    k-means of each sample on evenly spread probe voxels of the background, starting from its quantiles. Image
    (B, C, X, Y, Z), of which the mean channel counts; label (B, X, Y, Z).
    """
    value, background = image.mean(1).flatten(1), label.flatten(1) == 0
    every = max(1, value.shape[1] // probes)
    probe, counts = value[:, ::every], background[:, ::every].to(value.dtype)
    ordered = probe.masked_fill(counts == 0, torch.inf).sort(1).values
    place = (torch.arange(clusters, device=value.device) + 0.5) / clusters * counts.sum(1, keepdim=True)
    centres = ordered.gather(1, place.long().clamp_max(probe.shape[1] - 1)).nan_to_num(posinf=0.0)
    for _ in range(rounds):
        nearest = _nearest(probe, centres)
        weight = torch.zeros_like(centres).scatter_add_(1, nearest, counts)
        total = torch.zeros_like(centres).scatter_add_(1, nearest, counts * probe)
        centres = torch.where(weight > 0, total / weight.clamp_min(1.0), centres).sort(1).values
    return torch.where(label > 0, label + clusters - 1, _nearest(value, centres).view(label.shape))


def _nearest(value: Tensor, centres: Tensor) -> Tensor:
    """Index of the nearest of the sorted centres (B, M) for values (B, N)."""
    return torch.searchsorted((centres[:, 1:] + centres[:, :-1]) / 2, value.contiguous())


def sample_mixture(classes: Tensor, mean: Tensor, deviation: Tensor, noise: Tensor) -> Tensor:
    """Each voxel from the Gaussian of its class.

    Classes (B, X, Y, Z), mean and deviation (B, M, C), standard normal noise and result (B, C, X, Y, Z).
    """
    channels, flat = mean.shape[2], classes.flatten(1)[:, :, None].expand(-1, -1, mean.shape[2])
    drawn = mean.gather(1, flat) + deviation.gather(1, flat) * noise.movedim(1, -1).reshape(len(noise), -1, channels)
    return drawn.movedim(2, 1).reshape(noise.shape)


def smooth_noise(
    deviation: Tensor, channels: int, nodes: int, size: Sequence[int], generator: torch.Generator
) -> Tensor:
    """Gaussian nodes of deviation (B,), interpolated linearly to (B, channels, X, Y, Z)."""
    node = torch.randn(len(deviation), channels, *[nodes] * 3, generator=generator, device=deviation.device)
    return functional.interpolate(per_sample(deviation) * node, list(size), mode="trilinear", align_corners=True)


def thicken(image: Tensor, factor: Tensor) -> Tensor:
    """Imitate voxels larger by factor (B, 3) >= 1: blur, keep every factor-th plane, interpolate linearly between.

    The blur is 0.75 times the factor, and 0.5 voxels where the factor is 1 (released code).
    """
    image = gaussian_blur(image, torch.where(factor > 1, 0.75 * factor, 0.5))
    for axis, size in enumerate(image.shape[2:]):
        step = factor[:, axis, None]
        node = torch.arange(size, device=image.device) / step
        shape = [len(image), 1, *[size if other == axis else 1 for other in range(3)]]
        planes = [(at * step).round().long().clamp_max(size - 1) for at in (node.floor(), node.floor() + 1)]
        low, high = (image.gather(axis + 2, at.view(shape).expand_as(image)) for at in planes)
        image = torch.where((step > 1).view(-1, 1, 1, 1, 1), low.lerp(high, (node % 1).view(shape)), image)
    return image


@final
@dataclass(kw_only=True)
class SynthContrast(Method):
    """Show synthetic images of random contrast in place of the chosen samples."""

    probability: float
    clusters: int
    bias: float
    gamma: float
    max_thickness_mm: float
    max_voxel_mm: float
    elastic: float

    def views(self, ctx: Context, batch: Batch) -> Sequence[View]:
        """Deform, draw the image from the classes, corrupt it; the label follows the deformation."""
        chosen = torch.rand(len(batch.image), generator=ctx.generator, device=batch.image.device) < self.probability
        if not bool(chosen.any()):
            return [View(image=batch.image, label=batch.label)]
        ctx.mark_active()
        real, label = self._deform(ctx, batch)
        classes = cluster_background(real, label, self.clusters)
        shown = self._corrupt(ctx, self._draw(ctx, classes, real.shape))
        where = chosen.view(-1, 1, 1, 1)
        return [
            View(image=torch.where(where[:, None], shown, batch.image), label=torch.where(where, label, batch.label))
        ]

    def _deform(self, ctx: Context, batch: Batch) -> tuple[Tensor, Tensor]:
        n, device = len(batch.image), batch.image.device
        degrees = uniform(-15.0, 15.0, (n, 3), ctx.generator, device)
        zoom = torch.diag_embed(1 / uniform(0.8, 1.2, (n, 3), ctx.generator, device))
        deviation = uniform(0.0, self.elastic, (n,), ctx.generator, device)
        shift_mm = smooth_noise(deviation, 3, NODES["elastic"], batch.label.shape[1:], ctx.generator)
        shift = shift_mm / shift_mm.new_tensor(ctx.recipe.spacing_mm).view(3, 1, 1, 1)
        return warp(batch.image, batch.label, rotations(torch.deg2rad(degrees)) @ zoom, shift, ctx.recipe.spacing_mm)

    def _draw(self, ctx: Context, classes: Tensor, shape: torch.Size) -> Tensor:
        """Means U(25, 225), deviations U(5, 25) and a bias field."""
        n, device = len(classes), classes.device
        among = (n, int(classes.max()) + 1, shape[1])
        mean, deviation = (uniform(*ends, among, ctx.generator, device) for ends in ((25.0, 225.0), (5.0, 25.0)))
        noise = torch.randn(shape, generator=ctx.generator, device=device)
        strength = uniform(0.0, self.bias, (n,), ctx.generator, device)
        field = smooth_noise(strength, 1, NODES["bias"], shape[2:], ctx.generator)
        return sample_mixture(classes, mean, deviation, noise) * field.exp()

    def _corrupt(self, ctx: Context, image: Tensor) -> Tensor:
        """Gamma, larger voxels (isotropic or along one axis), z-score."""
        n, device = len(image), image.device
        exponent = (self.gamma * torch.randn(n, generator=ctx.generator, device=device)).exp()
        image = unit_range(image.clamp(0, 300)) ** per_sample(exponent)
        spacing = image.new_tensor(ctx.recipe.spacing_mm)
        share = torch.rand(n, 1, generator=ctx.generator, device=device)
        cubic = spacing + share * (self.max_voxel_mm - spacing)
        thick = spacing + share * (self.max_thickness_mm - spacing)
        axis = torch.randint(3, (n, 1), generator=ctx.generator, device=device)
        thick = torch.where(axis == torch.arange(3, device=device), thick, spacing)
        either = torch.rand(n, 1, generator=ctx.generator, device=device) < 0.5
        image = thicken(image, (torch.where(either, cubic, thick) / spacing).clamp_min(1.0))
        deviation, mean = torch.std_mean(image, (2, 3, 4), keepdim=True)
        return (image - mean) / deviation.clamp_min(1e-5)
