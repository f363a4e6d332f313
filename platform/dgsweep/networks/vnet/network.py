"""V-Net (Milletari et al., 3DV 2016): MONAI's stages, at any width and for any number of image channels."""

from typing import Any

import torch
from torch import Tensor, nn

from dgsweep.networks.base import NetworkTask, SegmentationNetwork
from dgsweep.networks.monai_import import without_optional_packages

with without_optional_packages():
    from monai.networks.blocks.convolutions import Convolution
    from monai.networks.nets.vnet import DownTransition, InputTransition, OutputTransition, UpTransition, VNet

Activation = tuple[str, dict[str, Any]] | str
ACTIVATIONS: dict[str, Activation] = {"elu": ("elu", {"inplace": True}), "prelu": "prelu"}


class FirstStage(InputTransition):
    """A convolution plus the image itself, whose channels are repeated in turn until there are `width` of them.

    MONAI's stage refuses a number of channels that does not divide `width`; where it does, this is the same.
    """

    def __init__(self, in_channels: int, width: int, act: Activation) -> None:
        super().__init__(3, 1, width, act)
        self.in_channels = in_channels
        self.conv_block = Convolution(3, in_channels, width, kernel_size=5, act=None, norm="batch", bias=False)

    def forward(self, image: Tensor) -> Tensor:
        """Image (B, C, X, Y, Z) to features (B, width, X, Y, Z)."""
        times = -(-self.out_channels // self.in_channels)
        repeated = image.repeat(1, times, 1, 1, 1)[:, : self.out_channels]
        return self.act_function(self.conv_block(image) + repeated)


class AnyWidthVNet(VNet):
    """MONAI's V-Net, whose forward pass it keeps, with `width` channels at the first level in place of 16."""

    def __init__(self, in_channels: int, out_channels: int, width: int, act: Activation, dropout: float) -> None:
        nn.Module.__init__(self)
        self.in_tr = FirstStage(in_channels, width, act)
        self.down_tr32 = DownTransition(3, width, 1, act)
        self.down_tr64 = DownTransition(3, 2 * width, 2, act)
        self.down_tr128 = DownTransition(3, 4 * width, 3, act, dropout_prob=dropout)
        self.down_tr256 = DownTransition(3, 8 * width, 2, act, dropout_prob=dropout)
        self.up_tr256 = UpTransition(3, 16 * width, 16 * width, 2, act, dropout_prob=(dropout, dropout))
        self.up_tr128 = UpTransition(3, 16 * width, 8 * width, 2, act, dropout_prob=(dropout, dropout))
        self.up_tr64 = UpTransition(3, 8 * width, 4 * width, 1, act, dropout_prob=(None, dropout))
        self.up_tr32 = UpTransition(3, 4 * width, 2 * width, 1, act, dropout_prob=(None, dropout))
        self.out_tr = OutputTransition(3, 2 * width, out_channels, act)


def build(task: NetworkTask) -> SegmentationNetwork:
    """Build the network; taps are `stem`, `enc<i>`, `enc<i>.pre_norm`, `bottleneck`, `dec<i>` and `decoded`.

    `decoded` has as many channels as there are classes: the last 1x1x1 layer of V-Net mixes class maps.
    """
    core = AnyWidthVNet(
        in_channels=task.in_channels,
        out_channels=task.n_classes,
        width=int(task.options["width"]),
        act=ACTIVATIONS[str(task.options["activation"])],
        dropout=float(task.options["dropout"]),
    )
    return SegmentationNetwork(core, _taps(core), memory_format=torch.channels_last_3d)


def _taps(core: Any) -> dict[str, nn.Module]:
    first = core.in_tr.conv_block.conv
    taps: dict[str, nn.Module] = {"stem": first, "enc0": core.in_tr, "enc0.pre_norm": first}
    for index, stage in enumerate([core.down_tr32, core.down_tr64, core.down_tr128], start=1):
        taps[f"enc{index}"] = stage
        taps[f"enc{index}.pre_norm"] = stage.down_conv
    taps["bottleneck"] = core.down_tr256
    for index, stage in enumerate([core.up_tr256, core.up_tr128, core.up_tr64, core.up_tr32]):
        taps[f"dec{index}"] = stage
    taps["decoded"] = core.out_tr.act_function1
    return taps
