"""SynergyNet: a 2D U-Net with a bottleneck of continuous features and codes. Gorade et al., WACV 2024."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from dgsweep.errors import PlanError
from dgsweep.networks.base import NetworkTask, SegmentationNetwork
from dgsweep.networks.monai_import import without_optional_packages
from dgsweep.networks.planned import NORM
from dgsweep.networks.slices import slice_wise
from dgsweep.networks.synergynet.fusion import Correction, Exchange
from dgsweep.networks.synergynet.quantiser import Quantiser

with without_optional_packages():
    from monai.networks.blocks.dynunet_block import UnetBasicBlock, UnetUpBlock

LEVELS = 5


class SynergyBottleneck(nn.Module):
    """Quantise the features, let features and codes read each other, correct the joined map."""

    def __init__(self, channels: int, options: Mapping[str, Any]) -> None:
        super().__init__()
        self.quantiser = Quantiser(
            int(options["codes"]), channels, float(options["commitment"]), float(options["quantisation"])
        )
        self.exchange = Exchange(channels, int(options["heads"]))
        self.correction = Correction(channels, int(options["heads"]))

    def forward(self, feature: Tensor) -> Tensor:
        """(B, C, X, Y) to the same shape."""
        continuous, discrete = (part.flatten(2).transpose(1, 2) for part in (feature, self.quantiser(feature)))
        tokens: Tensor = self.correction(self.exchange(continuous, discrete))
        return tokens.transpose(1, 2).unflatten(2, feature.shape[2:])


class SynergyNet(nn.Module):
    """Encoder, bottleneck, decoder with skip connections, and last layer of one slice."""

    def __init__(self, in_channels: int, n_classes: int, options: Mapping[str, Any]) -> None:
        super().__init__()
        widths = _widths(options)
        self.encoder = nn.ModuleList(
            UnetBasicBlock(2, before, own, kernel_size=3, stride=2 if level else 1, norm_name=NORM)
            for level, (before, own) in enumerate(zip([in_channels, *widths], widths, strict=False))
        )
        self.bottleneck = SynergyBottleneck(widths[-1], options)
        self.decoder = nn.ModuleList(
            UnetUpBlock(2, widths[level + 1], widths[level], 3, 1, upsample_kernel_size=2, norm_name=NORM)
            for level in reversed(range(LEVELS - 1))
        )
        self.last = nn.Conv2d(widths[0], n_classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        """(B, C, X, Y) to logits (B, K+1, X, Y)."""
        skips = []
        for block in self.encoder:
            image = block(image)
            skips.append(image)
        feature = self.bottleneck(skips.pop())
        for block in self.decoder:
            feature = block(feature, skips.pop())
        logits: Tensor = self.last(feature)
        return logits


def build(task: NetworkTask) -> SegmentationNetwork:
    """Build the network; taps are `stem`, `enc<i>`, `enc<i>.pre_norm`, `bottleneck`, `dec<i>` and `decoded`.

    Raises:
        PlanError: the heads do not divide the channels of the bottleneck.
    """
    channels, heads = _widths(task.options)[-1], int(task.options["heads"])
    if channels % heads:
        raise PlanError(f"synergynet has {channels} channels in its bottleneck, which {heads} heads cannot share")
    core = SynergyNet(task.in_channels, task.n_classes, task.options)
    return slice_wise(core, _taps(core))


def _widths(options: Mapping[str, Any]) -> list[int]:
    return [min(int(options["width"]) * 2**level, int(options["max_width"])) for level in range(LEVELS)]


def _taps(core: SynergyNet) -> dict[str, nn.Module]:
    taps: dict[str, nn.Module] = {"bottleneck": core.bottleneck}
    for index, block in enumerate(core.encoder):
        taps[f"enc{index}"] = block
        taps[f"enc{index}.pre_norm"] = block.get_submodule("conv1")
    taps["stem"] = taps["enc0.pre_norm"]
    for index, block in enumerate(core.decoder):
        taps[f"dec{index}"] = block
    taps["decoded"] = core.decoder[-1]
    return taps
