"""The pyramid transformer that PVTv2 and SegFormer's MiT share: overlapping patches, attention to reduced keys."""

import math
from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from dgsweep.networks.monai_import import without_optional_packages

with without_optional_packages():
    from monai.networks.layers.drop_path import DropPath

DEPTHS = {
    "b1": (2, 2, 2, 2),
    "b2": (3, 4, 6, 3),
    "b3": (3, 4, 18, 3),
    "b4": (3, 8, 27, 3),
}
"""Blocks of each stage."""
EXPANSIONS = {"mit": (4, 4, 4, 4), "pvt_v2": (8, 8, 4, 4)}
HEADS, REDUCTIONS = (1, 2, 5, 8), (8, 4, 2, 1)
EPS = 1e-6
"""Of the norms of blocks and stages; those after patch embeddings and reductions have 1e-5."""


class Attention(nn.Module):
    """Multi-head attention of all tokens to a map that is `reduction` times coarser along each axis."""

    def __init__(self, channels: int, heads: int, reduction: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(channels, channels)
        self.reduce = nn.Conv2d(channels, channels, reduction, stride=reduction) if reduction > 1 else None
        self.norm = nn.LayerNorm(channels) if reduction > 1 else None
        self.key_value = nn.Linear(channels, 2 * channels)
        self.project = nn.Linear(channels, channels)

    def forward(self, tokens: Tensor, size: tuple[int, int]) -> Tensor:
        """(B, X * Y, C) of a map of `size` (X, Y) to the same shape."""
        read = tokens
        if self.reduce is not None and self.norm is not None:
            read = self.norm(to_tokens(self.reduce(to_map(tokens, size))))
        query = self.query(tokens).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        key, value = self.key_value(read).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(query, key, value)
        return self.project(mixed.transpose(1, 2).flatten(2))


class FeedForward(nn.Module):
    """Two linear layers with a depth-wise 3x3 convolution between, which tells tokens where they are."""

    def __init__(self, channels: int, expansion: int) -> None:
        super().__init__()
        self.widen = nn.Linear(channels, expansion * channels)
        self.local = nn.Conv2d(expansion * channels, expansion * channels, 3, padding=1, groups=expansion * channels)
        self.narrow = nn.Linear(expansion * channels, channels)

    def forward(self, tokens: Tensor, size: tuple[int, int]) -> Tensor:
        """(B, X * Y, C) of a map of `size` (X, Y) to the same shape."""
        wide = to_tokens(self.local(to_map(self.widen(tokens), size)))
        return self.narrow(functional.gelu(wide))


class Block(nn.Module):
    """Attention and feed-forward, each on normalised tokens, added, and at times skipped in training."""

    def __init__(self, channels: int, heads: int, reduction: int, expansion: int, drop_path: float) -> None:
        super().__init__()
        self.norm_attention = nn.LayerNorm(channels, eps=EPS)
        self.attention = Attention(channels, heads, reduction)
        self.norm_feed = nn.LayerNorm(channels, eps=EPS)
        self.feed = FeedForward(channels, expansion)
        self.drop_path = DropPath(drop_path)

    def forward(self, tokens: Tensor, size: tuple[int, int]) -> Tensor:
        """(B, X * Y, C) of a map of `size` (X, Y) to the same shape."""
        tokens = tokens + self.drop_path(self.attention(self.norm_attention(tokens), size))
        return tokens + self.drop_path(self.feed(self.norm_feed(tokens), size))


class Stage(nn.Module):
    """Overlapping patches as tokens, the blocks of one resolution, and a norm: (B, C, X, Y) to a coarser map."""

    def __init__(
        self, in_channels: int, channels: int, stride: int, level: int, expansion: int, drop_paths: Sequence[float]
    ) -> None:
        super().__init__()
        kernel = 2 * stride - 1
        self.embed = nn.Conv2d(in_channels, channels, kernel, stride=stride, padding=kernel // 2)
        self.norm_embed = nn.LayerNorm(channels)
        self.blocks = nn.ModuleList(
            Block(channels, HEADS[level], REDUCTIONS[level], expansion, rate) for rate in drop_paths
        )
        self.norm = nn.LayerNorm(channels, eps=EPS)

    def forward(self, image: Tensor) -> Tensor:
        """(B, C_in, X, Y) to (B, C, X / stride, Y / stride)."""
        embedded = self.embed(image)
        size = (int(embedded.shape[2]), int(embedded.shape[3]))
        tokens = self.norm_embed(to_tokens(embedded))
        for block in self.blocks:
            tokens = block(tokens, size)
        return to_map(self.norm(tokens), size)


class PyramidTransformer(nn.Module):
    """Four stages at 1/4, 1/8, 1/16 and 1/32 of the image. Wang et al., PVT v2, CVMJ 2022; Xie et al., SegFormer, 2021.

    Args:
        in_channels: of the image.
        width: channels of the first stage; the others have 2, 5 and 8 times as many, one head per `width`.
        encoder: `mit` or `pvt_v2`.
        size: `b1` to `b4`.
        drop_path: share of samples that skip the last block in training; it rises linearly from 0 in the first.
    """

    def __init__(self, in_channels: int, width: int, encoder: str, size: str, drop_path: float) -> None:
        super().__init__()
        depths, expansions = DEPTHS[size], EXPANSIONS[encoder]
        rates = [drop_path * block / (sum(depths) - 1) for block in range(sum(depths))]
        self.channels = tuple(width * heads for heads in HEADS)
        self.stages = nn.ModuleList()
        for level, depth in enumerate(depths):
            before = self.channels[level - 1] if level else in_channels
            own, rates = rates[:depth], rates[depth:]
            self.stages.append(Stage(before, self.channels[level], 2 if level else 4, level, expansions[level], own))
        self.apply(initialise)

    def forward(self, image: Tensor) -> list[Tensor]:
        """(B, C, X, Y) to the maps of the four stages, finest first."""
        maps = [image]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        return maps[1:]


def initialise(module: nn.Module) -> None:
    """As both papers' code: linear layers from a narrow truncated normal, convolutions by their fan out."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Conv2d):
        fan_out = math.prod(module.kernel_size) * module.out_channels // module.groups
        nn.init.normal_(module.weight, std=math.sqrt(2.0 / fan_out))
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def to_tokens(feature: Tensor) -> Tensor:
    """(B, C, X, Y) as (B, X * Y, C)."""
    return feature.flatten(2).transpose(1, 2)


def to_map(tokens: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, X * Y, C) as (B, C, X, Y)."""
    return tokens.transpose(1, 2).unflatten(2, size)
