"""Parts of the denoising U-Net: a step at one resolution, attention, the frequency filter, the conditional encoding."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from dgsweep.networks.monai_import import without_optional_packages

with without_optional_packages():
    from monai.networks.nets.diffusion_model_unet import DiffusionUNetResnetBlock

FIRST_SCALE = 1e-2
"""Of the layers that the released code starts at zero, relative to torch's start: small, but every layer learns."""


def groups(*channels: int) -> int:
    """Groups of a group norm: 32, or as many as divide each of the channels."""
    return math.gcd(32, *channels)


class SpatialAttention(nn.Module):
    """Attention of all places of a map (B, C, X, Y) to each other, added to it."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.GroupNorm(groups(channels), channels)
        self.mix = nn.Linear(channels, 3 * channels)
        self.project = started_small(nn.Linear(channels, channels))

    def forward(self, feature: Tensor) -> Tensor:
        """(B, C, X, Y) to the same shape."""
        tokens = self.norm(feature).flatten(2).transpose(1, 2)
        query, key, value = self.mix(tokens).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        return feature + self.project(mixed).transpose(1, 2).unflatten(2, feature.shape[2:])


class Step(nn.Module):
    """A residual block that knows the diffusion step, with attention where `heads` is not 0."""

    def __init__(self, in_channels: int, channels: int, time_channels: int, heads: int) -> None:
        super().__init__()
        shared = groups(in_channels, channels)
        self.residual = DiffusionUNetResnetBlock(2, in_channels, time_channels, channels, norm_num_groups=shared)
        self.residual.conv2 = started_small(nn.Conv2d(channels, channels, 3, padding=1))
        self.attention = SpatialAttention(channels, heads) if heads else nn.Identity()

    def forward(self, feature: Tensor, time: Tensor) -> Tensor:
        """Map (B, C_in, X, Y) and embedding of the diffusion step (B, T) to (B, C, X, Y)."""
        changed: Tensor = self.attention(self.residual(feature, time))
        return changed


class FrequencyFilter(nn.Module):
    """FF-Parser: a learned complex weight for each frequency of each channel. Starts as the identity.

    Args:
        channels: of the map.
        size: (X, Y) of the map.
    """

    def __init__(self, channels: int, size: tuple[int, int]) -> None:
        super().__init__()
        real = torch.ones(channels, size[0], size[1] // 2 + 1)
        self.weight = nn.Parameter(torch.stack([real, torch.zeros_like(real)], dim=-1))

    def forward(self, feature: Tensor) -> Tensor:
        """(B, C, X, Y) to the same shape, in float32."""
        with torch.autocast(feature.device.type, enabled=False):
            frequencies = torch.fft.rfft2(feature.float(), norm="ortho") * torch.view_as_complex(self.weight)
            return torch.fft.irfft2(frequencies, s=feature.shape[2:], norm="ortho")


class ConditionalEncoding(nn.Module):
    """Dynamic conditional encoding: (LN(image) * LN(filtered mask)) * image, so the condition follows the step."""

    def __init__(self, channels: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.filter = FrequencyFilter(channels, size)
        self.norm_image, self.norm_mask = nn.GroupNorm(1, channels), nn.GroupNorm(1, channels)

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        """Maps (B, C, X, Y) of the image and of the noisy mask to one of the image."""
        attended: Tensor = self.norm_image(image) * self.norm_mask(self.filter(mask)) * image
        return attended


def started_small(layer: nn.Module) -> nn.Module:
    """The layer with its first weights scaled by FIRST_SCALE."""
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.mul_(FIRST_SCALE)
    return layer
