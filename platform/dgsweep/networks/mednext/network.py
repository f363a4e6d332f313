"""MedNeXt (Roy et al., MICCAI 2023): MONAI's, with the downsampling blocks of the paper."""

from dataclasses import dataclass
from typing import Any

from torch import nn

from dgsweep.networks.base import NetworkTask, SegmentationNetwork
from dgsweep.networks.monai_import import without_optional_packages

with without_optional_packages():
    from monai.networks.blocks.mednext_block import MedNeXtDownBlock
    from monai.networks.nets.mednext import MedNeXt


@dataclass(frozen=True, kw_only=True)
class Size:
    """Blocks of each encoder stage and of the bottleneck, and their expansions; the decoder mirrors the encoder."""

    blocks: tuple[int, int, int, int, int]
    expansions: tuple[int, int, int, int, int]


SIZES = {
    "S": Size(blocks=(2, 2, 2, 2, 2), expansions=(2, 2, 2, 2, 2)),
    "B": Size(blocks=(2, 2, 2, 2, 2), expansions=(2, 3, 4, 4, 4)),
    "M": Size(blocks=(3, 4, 4, 4, 4), expansions=(2, 3, 4, 4, 4)),
    "L": Size(blocks=(3, 4, 8, 8, 8), expansions=(3, 4, 8, 8, 8)),
}
"""Table 1 of the paper."""


def build(task: NetworkTask) -> SegmentationNetwork:
    """Build the network; taps are `stem`, `enc<i>`, `enc<i>.pre_norm`, `bottleneck`, `dec<i>` and `decoded`."""
    size, kernel = SIZES[str(task.options["size"])], int(task.options["kernel"])
    width = int(task.options["width"])
    core = MedNeXt(
        in_channels=task.in_channels,
        out_channels=task.n_classes,
        init_filters=width,
        kernel_size=kernel,
        encoder_expansion_ratio=size.expansions[:4],
        bottleneck_expansion_ratio=size.expansions[4],
        decoder_expansion_ratio=size.expansions[3::-1],
        blocks_down=size.blocks[:4],
        blocks_bottleneck=size.blocks[4],
        blocks_up=size.blocks[3::-1],
        deep_supervision=task.deep_supervision,
        use_residual_connection=True,
    )
    core.down_blocks = nn.ModuleList(_down(width * 2**level, size.expansions[level + 1], kernel) for level in range(4))
    return SegmentationNetwork(core, _taps(core))


def _down(channels: int, expansion: int, kernel: int) -> MedNeXtDownBlock:
    """The block below a stage: the authors expand by the ratio of the stage to come, MONAI by that of the one above."""
    return MedNeXtDownBlock(
        channels, 2 * channels, expansion_ratio=expansion, kernel_size=kernel, use_residual_connection=True
    )


def _taps(core: Any) -> dict[str, nn.Module]:
    taps: dict[str, nn.Module] = {"stem": core.stem, "bottleneck": core.bottleneck}
    for index, stage in enumerate(core.enc_stages):
        taps[f"enc{index}"] = stage
        taps[f"enc{index}.pre_norm"] = stage[0].conv1
    for index, stage in enumerate(core.dec_stages):
        taps[f"dec{index}"] = stage
    taps["decoded"] = core.dec_stages[-1]
    return taps
