"""The nnU-Net family against nnU-Net's own code, where it is installed.

That is dynamic-network-architectures (v2) and nnunet 1.7.1 (v1, whose residual U-Net LinTransUNet was made from).
"""

import sys
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from dgsweep.networks.base import NetworkTask, SegmentationNetwork
from dgsweep.networks.builder import build_network, count_parameters
from dgsweep.networks.lintransunet import DECLARATION as LINTRANSUNET
from dgsweep.networks.nnunet import DECLARATION as NNUNET
from dgsweep.networks.nnunet_2d import DECLARATION as NNUNET_2D
from dgsweep.networks.nnunet_resenc_m import DECLARATION as RESENC
from dgsweep.networks.planned import planned_topology, planned_widths
from dgsweep.networks.slices import to_slices
from dgsweep.networks.small import implementation_of
from dgsweep.networks.topology import Topology

SMALL = {"width": 4, "max_width": 16}


class Anything(ModuleType):
    """A module in which every name is there: the packages import much that what is compared here does not use."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


V1_UNUSED = (
    "batchgenerators", "batchgenerators.augmentations", "batchgenerators.augmentations.utils", "scipy.ndimage.filters",
    "nnunet.training.loss_functions.dice_loss", "nnunet.utilities.nd_softmax",
)  # fmt: skip
V2_UNUSED = ("timm", "timm.layers", "timm.models", "timm.models.eva")


@pytest.fixture(scope="module")
def unets() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patched:
        for name in V2_UNUSED:
            patched.setitem(sys.modules, name, sys.modules.get(name, Anything(name)))
        yield pytest.importorskip("dynamic_network_architectures.architectures.unet")


@pytest.fixture(scope="module")
def unets_v1() -> Iterator[SimpleNamespace]:
    with pytest.MonkeyPatch.context() as patched:
        for name in V1_UNUSED:
            patched.setitem(sys.modules, name, sys.modules.get(name, Anything(name)))
        folder = "nnunet.network_architecture"
        plain, residual = (
            pytest.importorskip(f"{folder}.{name}") for name in ("generic_UNet", "generic_modular_residual_UNet")
        )
        yield SimpleNamespace(Generic_UNet=plain.Generic_UNet, ResidualUNet=residual.ResidualUNet)


def task_of(patch, spacing_mm, **options) -> NetworkTask:
    return NetworkTask(in_channels=2, n_classes=3, patch=patch, spacing_mm=spacing_mm, options=options)


def common(task: NetworkTask, topology: Topology) -> dict[str, object]:
    """What nnU-Net's planner writes for any of its networks."""
    flat = len(topology.strides[0]) == 2
    return {
        "input_channels": task.in_channels, "n_stages": len(topology.strides), "num_classes": task.n_classes,
        "features_per_stage": planned_widths(task, topology), "kernel_sizes": topology.kernels,
        "strides": topology.strides, "conv_op": nn.Conv2d if flat else nn.Conv3d, "conv_bias": True,
        "norm_op": nn.InstanceNorm2d if flat else nn.InstanceNorm3d, "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "nonlin": nn.LeakyReLU, "nonlin_kwargs": {"inplace": True}, "deep_supervision": True,
    }  # fmt: skip


def plain(unets: ModuleType, task: NetworkTask, topology: Topology) -> nn.Module:
    return unets.PlainConvUNet(**common(task, topology), n_conv_per_stage=2, n_conv_per_stage_decoder=2)


def residual(unets: ModuleType, task: NetworkTask, topology: Topology) -> nn.Module:
    blocks = (1, 3, 4, 6, 6, 6)[: len(topology.strides)]
    return unets.ResidualEncoderUNet(**common(task, topology), n_blocks_per_stage=blocks, n_conv_per_stage_decoder=1)


def in_order(network: nn.Module, image: Tensor) -> list[nn.Module]:
    """Layers with weights in the order in which they work."""
    layers: list[nn.Module] = []
    handles = [
        part.register_forward_hook(lambda layer, _input, _output: layers.append(layer))
        for part in network.modules()
        if isinstance(part, nn.modules.conv._ConvNd | nn.modules.instancenorm._InstanceNorm)
    ]
    network(image)
    for handle in handles:
        handle.remove()
    return layers


def compared(
    network: SegmentationNetwork, other: nn.Module, image: Tensor, slices=lambda image: image
) -> SimpleNamespace:
    """Outputs of both, with all values of `other` drawn anew and copied into the network."""
    own, theirs = in_order(network.train(), image), in_order(other.train(), slices(image))
    for mine, source in zip(own, theirs, strict=True):
        for value in source.parameters():
            nn.init.normal_(value, std=0.3)
        mine.load_state_dict(source.state_dict())
    with torch.no_grad():
        return SimpleNamespace(own=network(image), theirs=other(slices(image)), last=own[-1])


@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0, 1.0), (1.0, 1.0, 4.0)])
def test_nnunet_computes_what_plainconvunet_computes(unets, spacing_mm):
    task = task_of((32, 32, 16), spacing_mm, **SMALL, generation="v2")
    other = plain(unets, task, planned_topology("nnunet", task.patch, task.spacing_mm))
    network = build_network(NNUNET, implementation_of(NNUNET), task, seed=0)
    assert count_parameters(network) == count_parameters(other)
    found = compared(network, other, torch.randn(2, 2, 32, 32, 16))
    assert len(found.own) == len(found.theirs) > 2
    for mine, theirs in zip(found.own, found.theirs, strict=True):
        assert torch.allclose(mine, theirs, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(found.own[0], found.theirs[0] + 0.01, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0, 1.0), (1.0, 1.0, 4.0)])
def test_nnunet_v1_computes_what_generic_unet_computes(unets_v1, spacing_mm):
    task = task_of((32, 32, 16), spacing_mm, **SMALL, generation="v1")
    topology = planned_topology("nnunet", task.patch, spacing_mm)
    other = unets_v1.Generic_UNet(
        2, 4, 3, len(topology.strides) - 1, conv_op=nn.Conv3d, norm_op=nn.InstanceNorm3d, dropout_op=nn.Dropout3d,
        dropout_op_kwargs={"p": 0}, final_nonlin=lambda logits: logits, pool_op_kernel_sizes=topology.strides[1:],
        conv_kernel_sizes=topology.kernels, convolutional_pooling=True, convolutional_upsampling=True,
        max_num_features=16, weightInitializer=None,
    )  # fmt: skip
    network = build_network(NNUNET, implementation_of(NNUNET), task, seed=0)
    assert count_parameters(network) == count_parameters(other)
    found = compared(network, other, torch.randn(2, 2, 32, 32, 16))
    for mine, theirs in zip(found.own, found.theirs, strict=True):
        assert torch.allclose(mine, theirs, rtol=1e-4, atol=1e-4)
        assert not torch.allclose(mine, theirs + 0.01, rtol=1e-4, atol=1e-4)


def residual_v1(unets_v1: SimpleNamespace, task: NetworkTask, topology: Topology) -> nn.Module:
    """The network from which LinTransUNet was made; its outputs have a bias, those of LinTransUNet have none."""
    props = {
        "conv_op": nn.Conv3d, "conv_op_kwargs": {"stride": 1, "dilation": 1, "bias": True},
        "norm_op": nn.InstanceNorm3d, "norm_op_kwargs": {"eps": 1e-5, "affine": True}, "dropout_op": nn.Dropout3d,
        "dropout_op_kwargs": {"p": 0}, "nonlin": nn.LeakyReLU, "nonlin_kwargs": {"negative_slope": 0.01},
    }  # fmt: skip
    widths = planned_widths(task, topology)
    network: nn.Module = unets_v1.ResidualUNet(
        task.in_channels, widths[0], [2] * len(widths), 2, topology.strides, topology.kernels, props, task.n_classes,
        None, True, max_features=task.options["max_width"],
    )  # fmt: skip
    for head in [*network.decoder.deep_supervision_outputs, network.decoder.segmentation_output]:
        head.register_parameter("bias", None)
    return network


@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0, 1.0), (1.0, 1.0, 4.0)])
def test_lintransunet_without_gates_computes_what_the_residual_unet_of_v1_computes(unets_v1, spacing_mm):
    task = task_of((32, 32, 16), spacing_mm, **{**LINTRANSUNET.small, "max_width": 16})
    other = residual_v1(unets_v1, task, planned_topology("lintransunet", task.patch, spacing_mm))
    network = build_network(LINTRANSUNET, implementation_of(LINTRANSUNET), task, seed=0)
    for stage in network.core.decoder:
        stage.gate = None
    assert count_parameters(network) == count_parameters(other)
    found = compared(network, other, torch.randn(2, 2, 32, 32, 16))
    for mine, theirs in zip(found.own, found.theirs, strict=True):
        assert torch.allclose(mine, theirs, rtol=1e-4, atol=1e-4)
        assert not torch.allclose(mine, theirs + 0.01, rtol=1e-4, atol=1e-4)


def test_the_number_that_the_test_of_lintransunet_rests_on_is_that_of_the_residual_unet_of_v1(unets_v1):
    task = NetworkTask(
        in_channels=1, n_classes=2, patch=(1, 1, 1), spacing_mm=(1, 1, 1), options={"width": 32, "max_width": 512}
    )
    with torch.device("meta"):
        other = residual_v1(unets_v1, task, planned_topology("lintransunet", (224, 224, 32), (1.0, 1.0, 4.0)))
    assert count_parameters(other) == 112_291_776


def test_nnunet_v1_is_another_network_where_kernels_differ(unets):
    task = task_of((32, 32, 16), (1.0, 1.0, 4.0), **SMALL, generation="v1")
    other = plain(unets, task, planned_topology("nnunet", task.patch, task.spacing_mm))
    assert count_parameters(build_network(NNUNET, implementation_of(NNUNET), task, seed=0)) != count_parameters(other)


def test_nnunet_2d_computes_what_plainconvunet_computes_on_each_slice(unets):
    task = task_of((32, 48, 3), (1.0, 1.0, 5.0), **SMALL)
    other = plain(unets, task, planned_topology("nnunet_2d", (32, 48), (1.0, 1.0)))
    network = build_network(NNUNET_2D, implementation_of(NNUNET_2D), task, seed=0)
    found = compared(network, other, torch.randn(2, 2, 32, 48, 3), slices=to_slices)
    assert count_parameters(network) == count_parameters(other)
    for mine, theirs in zip(found.own, found.theirs, strict=True):
        assert torch.allclose(to_slices(mine), theirs, rtol=1e-4, atol=1e-4)
        assert not torch.allclose(to_slices(mine.flip(-1)), theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0, 1.0), (1.0, 1.0, 4.0)])
def test_nnunet_resenc_computes_what_residualencoderunet_computes(unets, spacing_mm):
    task = task_of((32, 32, 16), spacing_mm, **SMALL)
    other = residual(unets, task, planned_topology("nnunet_resenc_m", task.patch, task.spacing_mm))
    network = build_network(RESENC, implementation_of(RESENC), task, seed=0)
    assert count_parameters(network) == count_parameters(other)
    found = compared(network, other, torch.randn(2, 2, 32, 32, 16))
    assert len(found.own) == len(found.theirs) > 2
    for mine, theirs in zip(found.own, found.theirs, strict=True):
        assert torch.allclose(mine, theirs, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(found.own[0], found.theirs[0] + 0.01, rtol=1e-4, atol=1e-4)


def test_nnunet_resenc_starts_as_residualencoderunet_does(unets):
    task = task_of((16, 16, 16), (1.0, 1.0, 1.0), **SMALL)
    other = residual(unets, task, planned_topology("nnunet_resenc_m", task.patch, task.spacing_mm))
    other.apply(other.initialize)
    network = build_network(RESENC, implementation_of(RESENC), task, seed=0)
    image = torch.randn(1, 2, 16, 16, 16)
    for mine, theirs in zip(in_order(network, image), in_order(other, image), strict=True):
        for value, wanted in zip(mine.parameters(), theirs.parameters(), strict=True):
            if wanted.unique().numel() == 1:  # biases, and scales and shifts of norms
                assert torch.equal(value, wanted)
            elif wanted.numel() > 500:
                assert torch.allclose(value.std(), wanted.std(), rtol=0.15)
                assert not torch.equal(value, wanted)


@pytest.mark.parametrize(
    ("patch", "spacing_mm", "widest", "parameters"),
    [
        ((224, 224, 32), (1.0, 1.0, 4.0), 320, 30_748_554),
        ((128, 128, 128), (1.0, 1.0, 1.0), 320, 31_195_594),
        ((512, 512), (0.8, 0.8), 512, 46_324_558),
        ((256, 256), (0.8, 0.8), 512, 33_471_820),
    ],
)
def test_the_numbers_that_other_tests_rest_on_are_those_of_plainconvunet(unets, patch, spacing_mm, widest, parameters):
    task = NetworkTask(
        in_channels=1, n_classes=2, patch=(1, 1, 1), spacing_mm=(1, 1, 1), options={"width": 32, "max_width": widest}
    )
    topology = planned_topology("nnunet", patch, spacing_mm, most=5 if len(patch) == 3 else 7)
    with torch.device("meta"):
        other = plain(unets, task, topology)
    assert count_parameters(other) == parameters


@pytest.mark.parametrize(
    ("patch", "spacing_mm", "parameters"),
    [((224, 224, 32), (1.0, 1.0, 4.0), 101_681_546), ((160, 160, 160), (1.0, 1.0, 1.0), 102_349_770)],
)
def test_the_numbers_that_other_tests_rest_on_are_those_of_residualencoderunet(unets, patch, spacing_mm, parameters):
    task = NetworkTask(
        in_channels=1, n_classes=2, patch=patch, spacing_mm=spacing_mm, options={"width": 32, "max_width": 320}
    )
    with torch.device("meta"):
        other = residual(unets, task, planned_topology("nnunet", patch, spacing_mm))
    assert count_parameters(other) == parameters
