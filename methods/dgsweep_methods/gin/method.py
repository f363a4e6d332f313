"""GIN as a pure function of image and random stream, then the method."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import final

import torch
from torch import Tensor
from torch.nn import functional

from dgsweep.method.base import Batch, Method, View
from dgsweep.method.context import Context


def random_network(
    image: Tensor, layers: int, channels: int, kernels: Sequence[int], generator: torch.Generator
) -> Tensor:
    """Pass each sample through its own random convolutions (one group a sample), leaky ReLU between them.

    No activation follows the last. Weights and biases are N(0, 1); a layer's kernel size is drawn from `kernels`.
    Image and result: (B, C, X, Y, Z).
    """
    n, c = image.shape[:2]
    flow = image.reshape(1, n * c, *image.shape[2:])
    widths = [c, *[channels] * (layers - 1), c]
    for index, (fan_in, fan_out) in enumerate(pairwise(widths)):
        size = kernels[int(torch.randint(len(kernels), (1,), generator=generator, device=image.device))]
        weight = torch.randn(n * fan_out, fan_in, size, size, size, generator=generator, device=image.device)
        bias = torch.randn(n * fan_out, generator=generator, device=image.device)
        flow = functional.conv3d(_fast_layout(flow), weight, bias, padding=size // 2, groups=n)
        if index < layers - 1:
            flow = functional.leaky_relu(flow)
    return flow.reshape(image.shape)


def _fast_layout(flow: Tensor) -> Tensor:
    """Grouped 3D convolutions on a CPU are 3 to 4 times faster in channels-last layout."""
    return flow.contiguous(memory_format=torch.channels_last_3d) if flow.device.type == "cpu" else flow


def blend(image: Tensor, coloured: Tensor, alpha: Tensor) -> Tensor:
    """Blend alpha * coloured + (1 - alpha) * image, rescaled to the Frobenius norm of the image; alpha is (B,)."""
    weight = alpha.view(-1, 1, 1, 1, 1)
    mixed = weight * coloured + (1.0 - weight) * image
    scale = image.flatten(1).norm(dim=1) / (mixed.flatten(1).norm(dim=1) + 1e-5)
    return mixed * scale.view(-1, 1, 1, 1, 1)


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
