"""Attention U-Net (Oktay et al., MIDL 2018): MONAI's."""

from typing import Any

from torch import nn

from dgsweep.networks.base import NetworkTask, SegmentationNetwork
from dgsweep.networks.monai_import import without_optional_packages

with without_optional_packages():
    from monai.networks.nets.attentionunet import AttentionUnet


def build(task: NetworkTask) -> SegmentationNetwork:
    """Build the network; taps are `stem`, `enc<i>`, `enc<i>.pre_norm`, `bottleneck`, `gate<i>`, `dec<i>`, `decoded`.

    `gate<i>` is the attention map (B, 1, X, Y, Z), from 0 to 1, that multiplies the skip connection of level i.
    """
    levels, width = int(task.options["levels"]), int(task.options["width"])
    core = AttentionUnet(
        spatial_dims=3,
        in_channels=task.in_channels,
        out_channels=task.n_classes,
        channels=tuple(width * 2**level for level in range(levels)),
        strides=(2,) * (levels - 1),
    )
    return SegmentationNetwork(core, _taps(core, levels))


def _taps(core: Any, levels: int) -> dict[str, nn.Module]:
    block, layer = core.model[0], core.model[1]
    taps: dict[str, nn.Module] = {"stem": block.conv[0].conv, "decoded": layer}
    for level in range(levels - 1):
        taps[f"enc{level}"] = block
        taps[f"enc{level}.pre_norm"] = block.conv[0].conv
        taps[f"gate{level}"] = layer.attention.psi
        taps[f"dec{levels - 2 - level}"] = layer
        below = layer.submodule
        block, layer = (below[0], below[1]) if level < levels - 2 else (below, None)
    taps["bottleneck"] = block
    return taps
