"""What the nnU-Net family shares: the planned topology, and MONAI's DynUNet with outputs at their own resolution."""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from dgsweep.errors import PlanError
from dgsweep.networks.base import NetworkTask
from dgsweep.networks.monai_import import without_optional_packages
from dgsweep.networks.topology import MAX_POOLINGS, Topology, plan_topology

with without_optional_packages():
    from monai.networks.blocks.dynunet_block import UnetUpBlock
    from monai.networks.nets.dynunet import DynUNet

Generation = Literal["v1", "v2"]
LEAST_LEVELS = 3
NORM = ("INSTANCE", {"affine": True, "eps": 1e-5})
ACTIVATION = ("leakyrelu", {"inplace": True, "negative_slope": 0.01})
UNSET = torch.empty(0)


def planned_topology(
    name: str, patch: Sequence[int], spacing_mm: Sequence[float], *, most: int = MAX_POOLINGS
) -> Topology:
    """nnU-Net's plan, or the plan for equal spacings where nnU-Net's has fewer than two halvings.

    Raises:
        PlanError: the patch cannot be halved twice on any axis.
    """
    for spacing in (spacing_mm, [1.0] * len(patch)):
        topology = plan_topology(patch, spacing, most=most)
        if len(topology.strides) >= LEAST_LEVELS:
            return topology
    raise PlanError(f"patch {tuple(patch)} is too small for {name}: at least two halvings are needed (e.g. 16,16,16)")


def planned_widths(task: NetworkTask, topology: Topology) -> list[int]:
    """Channels of each level: doubled from level to level up to the widest."""
    width, widest = int(task.options["width"]), int(task.options["max_width"])
    return [min(width * 2**level, widest) for level in range(len(topology.strides))]


class PlannedUNet(DynUNet):
    """MONAI's DynUNet in which each output keeps its own resolution: (B, K+1, ...) finest first, as in nnU-Net."""

    def forward(self, image: Tensor) -> list[Tensor]:
        """Logits of each output, only the finest in evaluation. image: (B, C, X, Y, Z) or (B, C, X, Y)."""
        finest, coarser = self.output_block(self.skip_layers(image)), list(self.heads)
        self.heads[:] = [UNSET] * len(coarser)  # DynUNet would hold the graph of the last step, and refuse a deep copy
        return [finest, *coarser] if self.training and self.deep_supervision else [finest]


class PlannedUNetV2(PlannedUNet):
    """nnU-Net v2's: a decoder stage has the kernel of its own level, in v1 (and DynUNet) that of the level below."""

    def get_upsamples(self) -> nn.ModuleList:
        """Decoder stages, coarsest first."""
        blocks: nn.ModuleList = self.get_module_list(
            self.filters[1:][::-1],
            self.filters[:-1][::-1],
            self.kernel_size[:-1][::-1],
            self.strides[1:][::-1],
            UnetUpBlock,
            self.upsample_kernel_size[::-1],
            trans_bias=self.trans_bias,
        )
        return blocks


def planned_unet(task: NetworkTask, topology: Topology, *, generation: Generation = "v2") -> PlannedUNet:
    """nnU-Net's plain U-Net, with an output on each level but the bottleneck.

    Convolutions have a bias. In v1, transposed convolutions and outputs have none.
    """
    kind = PlannedUNetV2 if generation == "v2" else PlannedUNet
    n_levels = len(topology.strides)
    core = kind(
        spatial_dims=len(topology.strides[0]),
        in_channels=task.in_channels,
        out_channels=task.n_classes,
        kernel_size=topology.kernels,
        strides=topology.strides,
        upsample_kernel_size=topology.strides[1:],
        filters=planned_widths(task, topology),
        norm_name=NORM,
        act_name=ACTIVATION,
        deep_supervision=task.deep_supervision,
        deep_supr_num=n_levels - 2,
        trans_bias=generation == "v2",
    )
    give_biases(core)
    if generation == "v1":
        for head in [core.output_block, *(core.deep_supervision_heads if task.deep_supervision else [])]:
            head.conv.conv.register_parameter("bias", None)
    return core


def give_biases(network: nn.Module) -> None:
    """Give MONAI's convolution blocks the biases, zero at first, that they leave out before a norm."""
    for block in network.modules():
        for name in ("conv1", "conv2"):
            convolution: Any = getattr(getattr(block, name, None), "conv", None)
            if convolution is not None:
                convolution.bias = nn.Parameter(torch.zeros(convolution.out_channels))


def replace_bottleneck(core: PlannedUNet, bottleneck: nn.Module) -> None:
    """Put a module in the place of the bottleneck."""
    level: Any = core.skip_layers
    while level.next_layer is not core.bottleneck:
        level = level.next_layer
    level.next_layer = core.bottleneck = bottleneck


def planned_taps(core: Any) -> dict[str, nn.Module]:
    """Taps `stem`, `enc<i>`, `enc<i>.pre_norm`, `bottleneck`, `dec<i>` and `decoded`."""
    taps: dict[str, nn.Module] = {"stem": core.input_block.conv1, "bottleneck": core.bottleneck}
    for index, block in enumerate([core.input_block, *core.downsamples]):
        taps[f"enc{index}"] = block
        taps[f"enc{index}.pre_norm"] = block.conv1
    for index, block in enumerate(core.upsamples):
        taps[f"dec{index}"] = block
    taps["decoded"] = core.upsamples[-1]
    return taps
