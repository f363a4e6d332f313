"""nnU-Net's plain 3D U-Net: MONAI's DynUNet with the planned topology."""

from typing import Any

from torch import nn

from dgsweep.errors import PlanError
from dgsweep.networks.base import NetworkTask, SegmentationNetwork
from dgsweep.networks.monai_import import without_optional_packages
from dgsweep.networks.topology import plan_topology

with without_optional_packages():
    from monai.networks.nets.dynunet import DynUNet


def build(task: NetworkTask) -> SegmentationNetwork:
    """Build the network; taps are `stem`, `enc<i>`, `enc<i>.pre_norm`, `bottleneck`, `dec<i>` and `decoded`.

    Raises:
        PlanError: the patch cannot be halved on any axis.
    """
    topology = plan_topology(task.patch, task.spacing_mm)
    if len(topology.strides) < 3:
        raise PlanError(f"patch {task.patch} is too small for nnunet: at least two halvings are needed (e.g. 16,16,16)")
    width, widest = int(task.options["width"]), int(task.options["max_width"])
    n_levels = len(topology.strides)
    heads = max(0, n_levels - 3) if task.deep_supervision else 0
    core = DynUNet(
        spatial_dims=3,
        in_channels=task.in_channels,
        out_channels=task.n_classes,
        kernel_size=topology.kernels,
        strides=topology.strides,
        upsample_kernel_size=topology.strides[1:],
        filters=[min(width * 2**level, widest) for level in range(n_levels)],
        norm_name=("INSTANCE", {"affine": True, "eps": 1e-5}),
        act_name=("leakyrelu", {"inplace": True, "negative_slope": 0.01}),
        deep_supervision=heads > 0,
        deep_supr_num=max(heads, 1),
        trans_bias=True,
    )
    return SegmentationNetwork(core, _taps(core))


def _taps(core: Any) -> dict[str, nn.Module]:
    taps: dict[str, nn.Module] = {"stem": core.input_block.conv1, "bottleneck": core.bottleneck}
    for index, block in enumerate([core.input_block, *core.downsamples]):
        taps[f"enc{index}"] = block
        taps[f"enc{index}.pre_norm"] = block.conv1
    for index, block in enumerate(core.upsamples):
        taps[f"dec{index}"] = block
    taps["decoded"] = core.upsamples[-1]
    return taps
