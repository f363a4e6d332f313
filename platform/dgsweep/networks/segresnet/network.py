"""MONAI's SegResNet."""

from torch import nn

from dgsweep.networks.base import NetworkTask, SegmentationNetwork
from dgsweep.networks.monai_import import without_optional_packages

with without_optional_packages():
    from monai.networks.nets.segresnet import SegResNet


def build(task: NetworkTask) -> SegmentationNetwork:
    """Build the network; taps are `stem`, `enc<i>`, `enc<i>.pre_norm` (first convolution), `bottleneck`, `decoded`."""
    core = SegResNet(
        spatial_dims=3,
        init_filters=int(task.options["width"]),
        in_channels=task.in_channels,
        out_channels=task.n_classes,
    )
    taps: dict[str, nn.Module] = {"stem": core.convInit, "bottleneck": core.down_layers[-1]}
    taps["decoded"] = core.conv_final[1]
    for index, layer in enumerate(core.down_layers):
        taps[f"enc{index}"] = layer
        taps[f"enc{index}.pre_norm"] = next(module for module in layer.modules() if isinstance(module, nn.Conv3d))
    for index, layer in enumerate(core.up_layers):
        taps[f"dec{index}"] = layer
    return SegmentationNetwork(core, taps)
