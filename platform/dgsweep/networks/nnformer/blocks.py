"""Transformer blocks of nnFormer: attention within local volumes, and skip connections as attention."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dgsweep.networks.monai_import import without_optional_packages

with without_optional_packages():
    from monai.networks.blocks.mlp import MLPBlock
    from monai.networks.layers.drop_path import DropPath
    from monai.networks.nets.swin_unetr import (
        SwinTransformerBlock,
        WindowAttention,
        compute_mask,
        window_partition,
        window_reverse,
    )

Size = tuple[int, int, int]
DEPTH = 2
"""Blocks of every stage."""


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of each voxel of (B, C, X, Y, Z)."""

    def forward(self, feature: Tensor) -> Tensor:
        """(B, C, X, Y, Z) to the same."""
        return super().forward(feature.movedim(1, -1)).movedim(-1, 1)


class LocalStage(nn.Module):
    """Attention within windows, then within windows shifted by half their side.

    Args:
        channels: of the feature map.
        heads: of the attention.
        size: sides (x, y, z) of the feature map; an axis shorter than the window has one window and no shift.
        window: side of the windows.
        drop_paths: chance to skip each block in training.
        shifted: which blocks shift their windows.
    """

    def __init__(
        self, channels: int, heads: int, size: Size, window: int, drop_paths: list[float], shifted: list[bool]
    ) -> None:
        super().__init__()
        self.window, self.shift = windows_of(size, window)
        self.blocks = nn.ModuleList(
            SwinTransformerBlock(channels, heads, self.window, self.shift if shift else (0, 0, 0), drop_path=chance)
            for chance, shift in zip(drop_paths, shifted, strict=True)
        )

    def forward(self, feature: Tensor) -> Tensor:
        """(B, C, X, Y, Z) to the same."""
        padded = [-(-side // part) * part for side, part in zip(feature.shape[2:], self.window, strict=True)]
        mask = compute_mask(padded, self.window, self.shift, feature.device) if any(self.shift) else None
        tokens = feature.movedim(1, -1)
        for block in self.blocks:
            tokens = block(tokens, mask)
        return tokens.movedim(-1, 1)


def windows_of(size: Size, window: int) -> tuple[Size, Size]:
    """Sides of the windows and of their shift, along each axis."""
    x, y, z = (min(side, window) for side in size)
    i, j, k = (part // 2 if part < side else 0 for part, side in zip((x, y, z), size, strict=True))
    return (x, y, z), (i, j, k)


class SkipAttention(WindowAttention):
    """Attention whose queries come from the decoder as they are, keys and values from the encoder."""

    def __init__(self, channels: int, heads: int, window: Size) -> None:
        super().__init__(channels, heads, window)
        del self.qkv
        self.kv = nn.Linear(channels, 2 * channels)

    def forward(self, skip: Tensor, up: Tensor) -> Tensor:
        """Windows (W, N, C) of the encoder's and of the decoder's features to mixed windows (W, N, C)."""
        windows, n_tokens, channels = up.shape
        split: Any = (self.num_heads, channels // self.num_heads)
        query = up.unflatten(2, split).transpose(1, 2) * self.scale
        key, value = self.kv(skip).unflatten(2, (2, *split)).permute(2, 0, 3, 1, 4)
        bias = self.relative_position_bias_table[self.relative_position_index.flatten()]
        scores = query @ key.transpose(-2, -1) + bias.view(n_tokens, n_tokens, -1).permute(2, 0, 1)
        mixed = (scores.softmax(dim=-1) @ value).transpose(1, 2).reshape(windows, n_tokens, channels)
        return self.proj(mixed)


class SkipBlock(nn.Module):
    """Adds to the sum of encoder's and decoder's features what the latter find in the former, then an MLP."""

    def __init__(self, channels: int, heads: int, size: Size, window: int, drop_path: float) -> None:
        super().__init__()
        self.window, _ = windows_of(size, window)
        self.norm1, self.norm2 = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.attention = SkipAttention(channels, heads, self.window)
        self.mlp = MLPBlock(channels, 4 * channels, dropout_mode="swin")
        self.drop_path = DropPath(drop_path)

    def forward(self, skip: Tensor, up: Tensor) -> Tensor:
        """Two feature maps (B, C, X, Y, Z) to one."""
        sides = skip.shape[2:]
        skip, up = skip.movedim(1, -1), up.movedim(1, -1)
        windows = (window_partition(self._padded(self.norm1(part)), self.window) for part in (skip, up))
        mixed = self.attention(*windows)
        whole = [-(-side // part) * part for side, part in zip(sides, self.window, strict=True)]
        mixed = window_reverse(mixed, self.window, [len(skip), *whole])[:, : sides[0], : sides[1], : sides[2]]
        tokens = skip + up + self.drop_path(mixed)
        tokens = tokens + self.drop_path(self.mlp(self.norm2(tokens)))
        return tokens.movedim(-1, 1)

    def _padded(self, tokens: Tensor) -> Tensor:
        """(B, X, Y, Z, C) with zeros at the far ends, to whole windows."""
        x, y, z = (-side % part for side, part in zip(tokens.shape[1:4], self.window, strict=True))
        return F.pad(tokens, (0, 0, 0, z, 0, y, 0, x))


class DecoderStage(nn.Module):
    """Doubles each side and halves the channels, attends to the encoder's features, then within shifted windows."""

    def __init__(self, channels: int, heads: int, size: Size, window: int, drop_paths: list[float]) -> None:
        super().__init__()
        self.up = nn.Sequential(ChannelNorm(2 * channels), nn.ConvTranspose3d(2 * channels, channels, 2, stride=2))
        self.skip = SkipBlock(channels, heads, size, window, drop_paths[0])
        self.local = LocalStage(channels, heads, size, window, drop_paths[1:], [True] * (len(drop_paths) - 1))

    def forward(self, feature: Tensor, skip: Tensor) -> Tensor:
        """(B, 2C, X, Y, Z) and (B, C, 2X, 2Y, 2Z) to the size of the latter."""
        return self.local(self.skip(skip, self.up(feature)))


def rising_chances(highest: float, stages: int) -> list[list[float]]:
    """The chance to skip each block of each stage in training: from 0 at the first block to `highest` at the last."""
    rising = torch.linspace(0.0, highest, stages * DEPTH, device="cpu").tolist()
    return [rising[DEPTH * stage : DEPTH * (stage + 1)] for stage in range(stages)]
