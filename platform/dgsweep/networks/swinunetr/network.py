"""Swin UNETR (Hatamizadeh et al., BrainLes 2021) and its version 2 (He et al., MICCAI 2023): MONAI's."""

from typing import Any

import torch
from torch import nn

from dgsweep.networks.base import NetworkTask, SegmentationNetwork
from dgsweep.networks.monai_import import without_optional_packages

with without_optional_packages():
    from monai.networks.nets.swin_unetr import SwinUNETR


def build(task: NetworkTask) -> SegmentationNetwork:
    """Build the network; taps are `stem`, `swin<i>`, `enc<i>`, `enc<i>.pre_norm`, `bottleneck`, `dec<i>`, `decoded`.

    `stem` is the patch embedding and `swin<i>` what stage i of the transformer gives, merged to half its resolution.
    `enc<i>` are the convolution blocks between transformer and decoder; `enc0` reads the image itself.
    """
    core = SwinUNETR(
        in_channels=task.in_channels,
        out_channels=task.n_classes,
        feature_size=int(task.options["feature_size"]),
        window_size=int(task.options["window"]),
        use_v2=int(task.options["version"]) == 2,
    )
    return SegmentationNetwork(core, _taps(core), memory_format=torch.channels_last_3d)


def _taps(core: Any) -> dict[str, nn.Module]:
    swin = core.swinViT
    taps: dict[str, nn.Module] = {"stem": swin.patch_embed, "bottleneck": core.encoder10}
    for index, stage in enumerate([swin.layers1, swin.layers2, swin.layers3, swin.layers4]):
        taps[f"swin{index}"] = stage[0]
    for index, block in enumerate([core.encoder1, core.encoder2, core.encoder3, core.encoder4]):
        taps[f"enc{index}"] = block
        taps[f"enc{index}.pre_norm"] = block.layer.conv1
    for index, block in enumerate([core.decoder5, core.decoder4, core.decoder3, core.decoder2, core.decoder1]):
        taps[f"dec{index}"] = block
    taps["decoded"] = core.decoder1
    return taps
