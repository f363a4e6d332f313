"""UNETR (Hatamizadeh et al., WACV 2022): MONAI's, built for the patch."""

from typing import Any

from torch import Tensor, nn

from dgsweep.errors import PlanError
from dgsweep.networks.base import NetworkTask, Place, SegmentationNetwork
from dgsweep.networks.monai_import import without_optional_packages

with without_optional_packages():
    from monai.networks.nets.unetr import UNETR

SIDE = 16
"""Voxels along each axis that one token stands for."""


def build(task: NetworkTask) -> SegmentationNetwork:
    """Build the network; taps are `stem`, `vit<i>`, `enc<i>`, `enc<i>.pre_norm`, `bottleneck`, `dec<i>`, `decoded`.

    `stem` is the patch embedding and `vit<i>` the tokens after block i of the transformer, as a feature map, where the
    decoder reads them. `enc<i>` are the convolution blocks in between; `enc0` reads the image itself.

    Raises:
        PlanError: the heads do not divide the hidden size.
    """
    hidden, heads = int(task.options["hidden_size"]), int(task.options["heads"])
    if hidden % heads:
        raise PlanError(f"unetr: hidden_size {hidden} must be a multiple of heads {heads}")
    core = UNETR(
        in_channels=task.in_channels,
        out_channels=task.n_classes,
        img_size=task.patch,
        feature_size=int(task.options["feature_size"]),
        hidden_size=hidden,
        mlp_dim=int(task.options["mlp_size"]),
        num_heads=heads,
    )
    for block in core.vit.blocks:
        block.norm_cross_attn = nn.Identity()  # MONAI makes it for cross attention, of which there is none here
    x, y, z = (side // SIDE for side in task.patch)
    return SegmentationNetwork(core, _taps(core, (x, y, z)))


def _taps(core: Any, tokens: tuple[int, int, int]) -> dict[str, nn.Module | Place]:
    taps: dict[str, nn.Module | Place] = {"stem": core.vit.patch_embedding.patch_embeddings}
    for index in (3, 6, 9):
        taps[f"vit{index}"] = _tokens_as_map(core.vit.blocks[index], tokens)
    taps["bottleneck"] = _tokens_as_map(core.vit.norm, tokens)
    taps["enc0"], taps["enc0.pre_norm"] = core.encoder1, core.encoder1.layer.conv1
    for index, block in enumerate([core.encoder2, core.encoder3, core.encoder4], start=1):
        taps[f"enc{index}"] = block
    for index, block in enumerate([core.decoder5, core.decoder4, core.decoder3, core.decoder2]):
        taps[f"dec{index}"] = block
    taps["decoded"] = core.decoder2
    return taps


def _tokens_as_map(module: nn.Module, tokens: tuple[int, int, int]) -> Place:
    def to_map(output: Tensor) -> Tensor:
        return output.transpose(1, 2).unflatten(2, tokens)

    def from_map(feature: Tensor) -> Tensor:
        return feature.flatten(2).transpose(1, 2)

    return Place(module=module, to_map=to_map, from_map=from_map)
