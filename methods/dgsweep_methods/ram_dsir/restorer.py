"""The auxiliary decoder of RAM-DSIR: from the bottleneck's features back to the image, with one style a domain."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

STAGES = 4
"""Blocks of the decoder, as in the released code."""
NARROWEST = 8


class DomainNorm(nn.Module):
    """Instance norm with gain and bias of each domain.

    Args:
        channels: of the features.
        n_domains: rows of gains and biases.
    """

    def __init__(self, channels: int, n_domains: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(n_domains, channels))
        self.bias = nn.Parameter(torch.zeros(n_domains, channels))

    def forward(self, feature: Tensor, domain: Tensor) -> Tensor:
        """Feature (B, C, X, Y, Z), domain (B,)."""
        spread, mean = torch.var_mean(feature, dim=(2, 3, 4), keepdim=True, correction=0)
        gain, bias = (table[domain][..., None, None, None] for table in (self.gain, self.bias))
        return (feature - mean) * torch.rsqrt(spread + 1e-5) * gain + bias


class Restorer(nn.Module):
    """Decoder without skip connections: the image must be told from the bottleneck and the domain alone.

    Args:
        channels: of the bottleneck; halved in each block, but not below 8.
        n_domains: source domains.
    """

    def __init__(self, channels: int, n_domains: int) -> None:
        super().__init__()
        widths = [channels, *(max(NARROWEST, channels // 2**stage) for stage in range(1, STAGES + 1))]
        pairs = list(pairwise(widths))
        self.before = nn.ModuleList([nn.Conv3d(wide, narrow, 3, padding=1) for wide, narrow in pairs])
        self.after = nn.ModuleList([nn.Conv3d(narrow, narrow, 3, padding=1) for _, narrow in pairs])
        self.norms = nn.ModuleList([DomainNorm(narrow, n_domains) for _, narrow in pairs for _ in range(2)])
        self.last = nn.Conv3d(widths[-1], 1, 3, padding=1)

    def forward(self, feature: Tensor, domain: Tensor, size: torch.Size) -> Tensor:
        """Images (B, 1, *size) in (-1, 1) from feature (B, C, x, y, z) and domain (B,)."""
        flow = feature
        for stage, (before, after) in enumerate(zip(self.before, self.after, strict=True)):
            flow = functional.leaky_relu(self.norms[2 * stage](before(flow), domain), 0.01)
            flow = functional.interpolate(flow, self.size_after(stage, flow.shape[2:], size), mode="trilinear")
            flow = functional.leaky_relu(self.norms[2 * stage + 1](after(flow), domain), 0.01)
        return torch.tanh(self.last(flow))

    @staticmethod
    def size_after(stage: int, present: torch.Size, full: torch.Size) -> list[int]:
        """Each block doubles the size at most, never shrinks it, and the last one gives the full size."""
        step = 2 ** (STAGES - 1 - stage)
        return [max(now, -(-whole // step)) for now, whole in zip(present, full, strict=True)]
