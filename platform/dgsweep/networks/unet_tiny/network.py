"""MONAI's UNet with residual units, in channels-last layout."""

from typing import Any

import torch
from torch import nn

from dgsweep.networks.base import NetworkTask, SegmentationNetwork
from dgsweep.networks.monai_import import without_optional_packages

with without_optional_packages():
    from monai.networks.nets.unet import UNet


def build(task: NetworkTask) -> SegmentationNetwork:
    """Build the network; taps are `stem`, `enc<i>`, `enc<i>.pre_norm` (first convolution), `bottleneck`, `decoded`.

    Without residual units the last layer is the last upsampling, and there is no `decoded`.
    """
    levels, width = int(task.options["levels"]), int(task.options["width"])
    core = UNet(
        spatial_dims=3,
        in_channels=task.in_channels,
        out_channels=task.n_classes,
        channels=tuple(width * 2**level for level in range(levels)),
        strides=(2,) * (levels - 1),
        num_res_units=int(task.options["residual_units"]),
    )
    taps = _taps(core, levels, with_decoded=int(task.options["residual_units"]) > 0)
    return SegmentationNetwork(core, taps, memory_format=torch.channels_last_3d)


def _taps(core: nn.Module, levels: int, *, with_decoded: bool) -> dict[str, nn.Module]:
    taps: dict[str, nn.Module] = {}
    outermost: Any = core.model
    block = outermost
    for level in range(levels - 1):
        taps[f"enc{level}"] = block[0]
        taps[f"enc{level}.pre_norm"] = _first_convolution(block[0])
        taps[f"dec{levels - 2 - level}"] = block[2]
        block = block[1].submodule
    taps["bottleneck"] = block
    taps["stem"] = taps["enc0.pre_norm"]
    if with_decoded:
        taps["decoded"] = outermost[2][0]
    return taps


def _first_convolution(block: nn.Module) -> nn.Module:
    return next(module for module in block.modules() if isinstance(module, nn.Conv3d))
