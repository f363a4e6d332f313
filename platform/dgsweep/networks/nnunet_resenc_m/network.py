"""nnU-Net v2's residual encoder U-Net: residual blocks down, one convolution a stage up."""

from collections.abc import Sequence

from torch import Tensor, nn

from dgsweep.networks.base import NetworkTask, SegmentationNetwork
from dgsweep.networks.encoder_decoder import (
    DecoderStage,
    EncoderDecoder,
    Steps,
    convolution,
    encoder_decoder_taps,
    initialise,
    upsampling,
)
from dgsweep.networks.planned import planned_topology, planned_widths

BLOCKS = (1, 3, 4, 6, 6, 6)
"""Residual blocks of each level."""


def build(task: NetworkTask) -> SegmentationNetwork:
    """Build the network; taps are `stem`, `enc<i>`, `enc<i>.pre_norm`, `bottleneck`, `dec<i>` and `decoded`.

    Raises:
        PlanError: the patch cannot be halved twice.
    """
    topology = planned_topology("nnunet_resenc", task.patch, task.spacing_mm)
    widths, kernels, strides = planned_widths(task, topology), topology.kernels, topology.strides
    levels = range(len(widths))
    stem = convolution((task.in_channels, widths[0]), kernels[0])
    encoder = [_stage((widths[max(i - 1, 0)], widths[i]), kernels[i], strides[i], BLOCKS[i]) for i in levels]
    decoder = [
        DecoderStage(
            upsampling((widths[i + 1], widths[i]), strides[i + 1], bias=True),
            convolution((2 * widths[i], widths[i]), kernels[i]),
        )
        for i in levels[-2::-1]
    ]
    supervised = levels[-2::-1] if task.deep_supervision else levels[:1]
    heads = [nn.Conv3d(widths[i], task.n_classes, 1) for i in supervised]
    core = EncoderDecoder(stem, encoder, decoder, heads)
    core.apply(initialise)
    if task.options["last_norm"] == "zero":
        _start_blocks_as_identity(core)
    return SegmentationNetwork(core, encoder_decoder_taps(core))


class ResidualBlock(nn.Module):
    """ResNet-D's: two convolutions with norm, and around them average pooling and a 1x1x1 convolution where needed."""

    def __init__(self, channels: tuple[int, int], kernel: Steps, stride: Steps) -> None:
        super().__init__()
        wide = (channels[1], channels[1])
        self.conv1 = convolution(channels, kernel, stride)
        self.conv2 = convolution(wide, kernel, activated=False)
        self.around = nn.Sequential()
        if max(stride) > 1:
            self.around.append(nn.AvgPool3d(stride, stride))  # type: ignore[arg-type]  # three numbers, as planned
        if channels[0] != channels[1]:
            self.around.append(convolution(channels, (1,) * len(kernel), bias=False, activated=False))
        self.activation = nn.LeakyReLU(0.01, inplace=True)

    def forward(self, feature: Tensor) -> Tensor:
        """(B, C, X, Y, Z) to (B, C', X', Y', Z')."""
        shortcut = self.around(feature)
        out: Tensor = self.activation(self.conv2(self.conv1(feature)) + shortcut)
        return out


def _stage(channels: tuple[int, int], kernel: Steps, stride: Steps, n_blocks: int) -> nn.Module:
    wide, still = (channels[1], channels[1]), (1,) * len(stride)
    rest: Sequence[nn.Module] = [ResidualBlock(wide, kernel, still) for _ in range(n_blocks - 1)]
    return nn.Sequential(ResidualBlock(channels, kernel, stride), *rest)


def _start_blocks_as_identity(core: nn.Module) -> None:
    """Scale and shift of the last norm of each block are zero at first, as nnU-Net starts them."""
    for block in core.modules():
        if isinstance(block, ResidualBlock):
            for value in block.conv2.get_submodule("adn").parameters():
                nn.init.zeros_(value)
