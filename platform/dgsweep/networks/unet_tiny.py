"""MONAI's UNet with residual units, in channels-last layout."""

from typing import Any

import torch
from torch import nn

from dgsweep.networks.base import NetworkTask, SegmentationNetwork
from dgsweep.networks.monai_import import without_optional_packages

with without_optional_packages():
    from monai.networks.nets.unet import UNet


def build(task: NetworkTask) -> SegmentationNetwork:
    """Build the network; taps are `enc<i>` (i from 0), `bottleneck` and, before each first norm, `enc<i>.pre_norm`."""
    levels, width = int(task.options["levels"]), int(task.options["width"])
    core = UNet(
        spatial_dims=3,
        in_channels=task.in_channels,
        out_channels=task.n_classes,
        channels=tuple(width * 2**level for level in range(levels)),
        strides=(2,) * (levels - 1),
        num_res_units=int(task.options["residual_units"]),
    )
    return SegmentationNetwork(core, _taps(core, levels), memory_format=torch.channels_last_3d)


def _taps(core: nn.Module, levels: int) -> dict[str, nn.Module]:
    taps: dict[str, nn.Module] = {}
    block: Any = core.model
    for level in range(levels - 1):
        taps[f"enc{level}"] = block[0]
        taps[f"enc{level}.pre_norm"] = _first_convolution(block[0])
        block = block[1].submodule
    taps["bottleneck"] = block
    taps["stem"] = taps["enc0.pre_norm"]
    return taps


def _first_convolution(block: nn.Module) -> nn.Module:
    return next(module for module in block.modules() if isinstance(module, nn.Conv3d))
