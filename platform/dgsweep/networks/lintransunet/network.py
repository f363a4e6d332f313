"""LinTransUNet: a residual U-Net whose skip connections are attended to, with linear attention where they are small."""

import torch
from torch import Tensor, nn
from torch.nn import functional

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
from dgsweep.networks.linear_attention import TransformerLayer, clone_layers
from dgsweep.networks.monai_import import without_optional_packages
from dgsweep.networks.planned import ACTIVATION, NORM, give_biases, planned_topology, planned_widths

with without_optional_packages():
    from monai.networks.blocks.dynunet_block import UnetResBlock

HEADS = 8
STILL = (1, 1, 1)


def build(task: NetworkTask) -> SegmentationNetwork:
    """Build the network; taps are `stem`, `enc<i>`, `enc<i>.pre_norm`, `skip<i>`, `bottleneck`, `dec<i>`, `decoded`.

    `skip<i>` is what decoder stage i joins with what comes from below.

    Raises:
        PlanError: the patch cannot be halved twice.
    """
    topology = planned_topology("lintransunet", task.patch, task.spacing_mm)
    widths, kernels, strides = planned_widths(task, topology), topology.kernels, topology.strides
    levels = range(len(widths))
    stem = convolution((task.in_channels, widths[0]), (3, 3, 3))
    encoder = [_stage((widths[max(i - 1, 0)], widths[i]), kernels[i], strides[i]) for i in levels]
    decoder = [
        DecoderStage(
            upsampling((widths[i + 1], widths[i]), strides[i + 1], bias=False),
            _stage((2 * widths[i], widths[i]), kernels[i], STILL),
            _gate(widths[i], depth, task),
        )
        for depth, i in enumerate(levels[-2::-1])
    ]
    supervised = levels[-2::-1] if task.deep_supervision else levels[:1]
    heads = [nn.Conv3d(widths[i], task.n_classes, 1, bias=False) for i in supervised]
    core = EncoderDecoder(stem, encoder, decoder, heads)
    core.apply(initialise)
    skips = {f"skip{index}": stage.get_submodule("gate") for index, stage in enumerate(decoder)}
    return SegmentationNetwork(core, encoder_decoder_taps(core) | skips)


def _stage(channels: tuple[int, int], kernel: Steps, stride: Steps) -> nn.Module:
    """Two residual blocks whose convolutions have a bias, except that on the shortcut."""
    wide = (channels[1], channels[1])
    stage = nn.Sequential(
        UnetResBlock(3, *channels, kernel, stride, NORM, ACTIVATION),
        UnetResBlock(3, *wide, kernel, STILL, NORM, ACTIVATION),
    )
    give_biases(stage)
    return stage


def _gate(channels: int, depth: int, task: NetworkTask) -> nn.Module:
    if depth >= int(task.options["attention_stages"]):
        return AdditiveGate(channels)
    return SkipAttention(channels, task)


class AdditiveGate(nn.Module):
    """Attention U-Net's gate: the skip is weighted voxel by voxel by what skip and lower level say together."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.of_skip, self.of_below, self.out = (nn.Conv3d(channels, channels, 1) for _ in range(3))
        self.weight = nn.Conv3d(channels, 1, 1)
        self.norm = nn.InstanceNorm3d(channels)

    def forward(self, skip: Tensor, below: Tensor) -> Tensor:
        """(B, C, X, Y, Z) of the skip and of the upsampled lower level to the same shape."""
        weight = torch.sigmoid(self.weight(functional.relu(self.of_skip(skip) + self.of_below(below))))
        gated: Tensor = self.norm(self.out(skip * weight))
        return gated


class SkipAttention(nn.Module):
    """Transformer layers on the voxels of the skip; a depth-wise convolution after each tells where a voxel is."""

    def __init__(self, channels: int, task: NetworkTask) -> None:
        super().__init__()
        dropout, kind = float(task.options["dropout"]), task.options["attention"]
        self.project = nn.Conv3d(channels, channels, 1)
        layers = [
            TransformerLayer(channels, 2 * channels, heads=HEADS, dropout=dropout, kind=kind)
            for _ in range(int(task.options["layers"]))
        ]
        if task.options["init"] == "cloned":
            clone_layers(layers)
        self.layers = nn.ModuleList(layers)
        self.positions = nn.ModuleList(nn.Conv3d(channels, channels, 3, padding=1, groups=channels) for _ in layers)
        self.dropout = nn.Dropout3d(dropout)

    def forward(self, skip: Tensor, _below: Tensor) -> Tensor:
        """(B, C, X, Y, Z) of the skip to the same shape; the lower level is not looked at."""
        feature = functional.relu(self.project(skip))
        for layer, position in zip(self.layers, self.positions, strict=True):
            feature = layer(feature.flatten(2).transpose(1, 2)).transpose(1, 2).unflatten(2, skip.shape[2:])
            feature = self.dropout(feature + position(feature))
        return feature
