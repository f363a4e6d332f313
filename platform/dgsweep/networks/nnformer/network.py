"""nnFormer (Zhou et al., TIP 2023), written from the paper and the sizes in the authors' code for Synapse."""

from typing import Any

from torch import Tensor, nn

from dgsweep.errors import PlanError
from dgsweep.networks.base import NetworkTask, SegmentationNetwork
from dgsweep.networks.nnformer.blocks import ChannelNorm, DecoderStage, LocalStage, Size, rising_chances

WINDOWS = (4, 4, 8, 4)
"""Side of the local volumes of each stage."""
CELL: Size = (4, 4, 2)
"""Voxels (x, y, z) that one token of the first stage stands for."""


class NnFormer(nn.Module):
    """Image (B, C, X, Y, Z) to logits (B, K+1, X, Y, Z); in training, supervised deeply, at half and quarter too."""

    def __init__(self, task: NetworkTask) -> None:
        super().__init__()
        embed_dim, heads = int(task.options["embed_dim"]), int(task.options["heads"])
        channels = [embed_dim * 2**stage for stage in range(len(WINDOWS))]
        sizes = [_size(task.patch, stage) for stage in range(len(WINDOWS))]
        highest = float(task.options["drop_path"])
        self.embed = _embedding(task.in_channels, embed_dim)
        self.stages = nn.ModuleList(
            LocalStage(channels[stage], heads * 2**stage, sizes[stage], WINDOWS[stage], chances, [False, True])
            for stage, chances in enumerate(rising_chances(highest, len(WINDOWS)))
        )
        self.downs = nn.ModuleList(
            nn.Sequential(nn.GELU(), ChannelNorm(width), nn.Conv3d(width, 2 * width, 3, stride=2, padding=1))
            for width in channels[:-1]
        )
        self.norms = nn.ModuleList(ChannelNorm(width) for width in channels)
        coarse_to_fine = list(range(len(WINDOWS) - 1))[::-1]
        self.ups = nn.ModuleList(
            DecoderStage(channels[stage], heads * 2**stage, sizes[stage], WINDOWS[stage], chances)
            for stage, chances in zip(coarse_to_fine, rising_chances(highest, len(coarse_to_fine)), strict=True)
        )
        supervised = coarse_to_fine if task.deep_supervision else [0]
        self.heads = nn.ModuleList(
            nn.ConvTranspose3d(channels[stage], task.n_classes, CELL, stride=CELL) for stage in sorted(supervised)
        )

    def forward(self, image: Tensor) -> list[Tensor]:
        """Logits, finest first; only the finest in evaluation."""
        feature, skips = self.embed(image), []
        for stage, norm, down in zip(self.stages, self.norms, [*self.downs, nn.Identity()], strict=True):
            feature = stage(feature)
            skips.append(norm(feature))
            feature = down(feature)
        feature, decoded = skips[-1], []
        for up, skip in zip(self.ups, skips[-2::-1], strict=True):
            feature = up(feature, skip)
            decoded.append(feature)
        heads = list(self.heads) if self.training else [self.heads[0]]
        return [head(feature) for head, feature in zip(heads, decoded[::-1], strict=False)]


def _size(patch: Size, stage: int) -> Size:
    x, y, z = (side // cell // 2**stage for side, cell in zip(patch, CELL, strict=True))
    return x, y, z


def _embedding(in_channels: int, channels: int) -> nn.Sequential:
    """Two pairs of convolutions, the first of each strided, so that a token stands for CELL voxels."""
    half = channels // 2
    return nn.Sequential(
        nn.Conv3d(in_channels, half, 3, stride=2, padding=1), nn.GELU(), ChannelNorm(half),
        nn.Conv3d(half, half, 3, padding=1), nn.GELU(), ChannelNorm(half),
        nn.Conv3d(half, channels, 3, stride=(2, 2, 1), padding=1), nn.GELU(), ChannelNorm(channels),
        nn.Conv3d(channels, channels, 3, padding=1), ChannelNorm(channels),
    )  # fmt: skip


def build(task: NetworkTask) -> SegmentationNetwork:
    """Build the network; taps are `stem`, `enc<i>`, `enc<i>.pre_norm`, `bottleneck` and `dec<i>`.

    There is no `decoded`: the last layer is a transposed convolution that makes the logits from a quarter of the size.

    Raises:
        PlanError: the heads do not divide the channels.
    """
    embed_dim, heads = int(task.options["embed_dim"]), int(task.options["heads"])
    if embed_dim % heads:
        raise PlanError(f"nnformer: embed_dim {embed_dim} must be a multiple of heads {heads}")
    core = NnFormer(task)
    return SegmentationNetwork(core, _taps(core))


def _taps(core: Any) -> dict[str, nn.Module]:
    taps: dict[str, nn.Module] = {"stem": core.embed[0], "enc0.pre_norm": core.embed[-2], "bottleneck": core.norms[-1]}
    for index, down in enumerate(core.downs, start=1):
        taps[f"enc{index}.pre_norm"] = down[-1]
    for index, stage in enumerate(core.stages):
        taps[f"enc{index}"] = stage
    for index, stage in enumerate(core.ups):
        taps[f"dec{index}"] = stage
    return taps
