"""TransBTS (Wang et al., MICCAI 2021), written from the paper and the sizes in the authors' code."""

import itertools
from typing import Any

import torch
from torch import Tensor, nn

from dgsweep.errors import PlanError
from dgsweep.networks.base import NetworkTask, SegmentationNetwork
from dgsweep.networks.monai_import import without_optional_packages

with without_optional_packages():
    from monai.networks.blocks.transformerblock import TransformerBlock

BLOCKS = (1, 2, 2, 4)
"""Residual blocks at each resolution of the encoder."""
GROUPS = 8
STEM_DROPOUT, TOKEN_DROPOUT = 0.2, 0.1


class EncoderBlock(nn.Module):
    """Twice group norm, ReLU, 3x3x3 convolution, and a skip around both."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*_normed_convolution(channels), *_normed_convolution(channels))

    def forward(self, feature: Tensor) -> Tensor:
        """(B, C, X, Y, Z) to the same."""
        return feature + self.layers(feature)


def _normed_convolution(channels: int) -> list[nn.Module]:
    return [nn.GroupNorm(GROUPS, channels), nn.ReLU(), nn.Conv3d(channels, channels, 3, padding=1)]


class GlobalTransformer(nn.Module):
    """Every voxel of the lowest resolution a token that attends to all others."""

    def __init__(self, channels: int, n_tokens: int, options: dict[str, int]) -> None:
        super().__init__()
        hidden = options["hidden_size"]
        self.embed = nn.Sequential(nn.BatchNorm3d(channels), nn.ReLU(), nn.Conv3d(channels, hidden, 3, padding=1))
        self.positions = nn.Parameter(torch.zeros(1, n_tokens, hidden))
        self.dropout = nn.Dropout(TOKEN_DROPOUT)
        self.blocks = nn.Sequential(
            *(TransformerBlock(hidden, options["mlp_size"], options["heads"], TOKEN_DROPOUT)
              for _ in range(options["layers"]))
        )  # fmt: skip
        for block in self.blocks:
            block.norm_cross_attn = nn.Identity()  # MONAI makes it for cross attention, of which there is none here

    def forward(self, feature: Tensor) -> Tensor:
        """(B, C, X, Y, Z) to (B, hidden, X, Y, Z); X * Y * Z must be the number of tokens it was built for."""
        embedded = self.embed(feature)
        tokens = self.dropout(embedded.flatten(2).transpose(1, 2) + self.positions)
        return self.blocks(tokens).transpose(1, 2).unflatten(2, embedded.shape[2:])


def convolutions(in_channels: int, channels: int) -> nn.Sequential:
    """Twice 3x3x3 convolution, batch norm, ReLU."""
    return nn.Sequential(
        nn.Conv3d(in_channels, channels, 3, padding=1), nn.BatchNorm3d(channels), nn.ReLU(),
        nn.Conv3d(channels, channels, 3, padding=1), nn.BatchNorm3d(channels), nn.ReLU(),
    )  # fmt: skip


class DecoderBlock(nn.Module):
    """Two convolutions with batch norm and a skip around them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = convolutions(channels, channels)

    def forward(self, feature: Tensor) -> Tensor:
        """(B, C, X, Y, Z) to the same."""
        return feature + self.layers(feature)


class DecoderStage(nn.Module):
    """Halves the channels, doubles each side, mixes in the encoder's features, and convolves."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.up = nn.Sequential(nn.Conv3d(channels, half, 1), nn.ConvTranspose3d(half, half, 2, stride=2))
        self.mix = nn.Conv3d(2 * half, half, 1)
        self.block = DecoderBlock(half)

    def forward(self, feature: Tensor, skip: Tensor) -> Tensor:
        """(B, C, X, Y, Z) and (B, C / 2, 2X, 2Y, 2Z) to the size of the latter."""
        return self.block(self.mix(torch.cat([skip, self.up(feature)], dim=1)))


class TransBTS(nn.Module):
    """Image (B, C, X, Y, Z), of the patch it was built for, to logits (B, K+1, X, Y, Z)."""

    def __init__(self, task: NetworkTask) -> None:
        super().__init__()
        options = {name: int(value) for name, value in task.options.items()}
        channels = [options["width"] * 2**level for level in range(len(BLOCKS))]
        self.stem = nn.Conv3d(task.in_channels, channels[0], 3, padding=1)
        self.dropout = nn.Dropout3d(STEM_DROPOUT)
        self.downs = nn.ModuleList(
            nn.Conv3d(fine, coarse, 3, stride=2, padding=1) for fine, coarse in itertools.pairwise(channels)
        )
        self.stages = nn.ModuleList(
            nn.Sequential(*(EncoderBlock(width) for _ in range(count)))
            for width, count in zip(channels, BLOCKS, strict=True)
        )
        x, y, z = (side // 2 ** len(self.downs) for side in task.patch)
        self.transformer = GlobalTransformer(channels[-1], x * y * z, options)
        self.mapping = nn.Sequential(convolutions(options["hidden_size"], channels[-1]), DecoderBlock(channels[-1]))
        self.ups = nn.ModuleList(DecoderStage(width) for width in channels[:0:-1])
        self.head = nn.Conv3d(channels[0], task.n_classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Logits of the finest resolution."""
        feature = self.stages[0](self.dropout(self.stem(image)))
        skips = [feature]
        for down, stage in zip(self.downs, list(self.stages)[1:], strict=True):
            feature = stage(down(feature))
            skips.append(feature)
        feature = self.mapping(self.transformer(feature))
        for up, skip in zip(self.ups, skips[-2::-1], strict=True):
            feature = up(feature, skip)
        return self.head(feature)


def build(task: NetworkTask) -> SegmentationNetwork:
    """Build the network; taps are `stem`, `enc<i>`, `enc<i>.pre_norm`, `bottleneck`, `dec<i>` and `decoded`.

    `enc3` is the encoder's last stage, `bottleneck` what the transformer makes of it; `dec0` still lies at an eighth.

    Raises:
        PlanError: the heads do not divide the hidden size.
    """
    hidden, heads = int(task.options["hidden_size"]), int(task.options["heads"])
    if hidden % heads:
        raise PlanError(f"transbts: hidden_size {hidden} must be a multiple of heads {heads}")
    core = TransBTS(task)
    return SegmentationNetwork(core, _taps(core))


def _taps(core: Any) -> dict[str, nn.Module]:
    taps: dict[str, nn.Module] = {"stem": core.stem, "bottleneck": core.transformer, "dec0": core.mapping}
    for index, (first, stage) in enumerate(zip([core.stem, *core.downs], core.stages, strict=True)):
        taps[f"enc{index}"] = stage
        taps[f"enc{index}.pre_norm"] = first
    for index, stage in enumerate(core.ups, start=1):
        taps[f"dec{index}"] = stage
    taps["decoded"] = core.ups[-1]
    return taps
