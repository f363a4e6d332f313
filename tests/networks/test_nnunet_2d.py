"""nnunet_2d: nnU-Net's 2D plan and size, slice by slice."""

import itertools

import pytest
import torch

from dgsweep.errors import PlanError
from dgsweep.networks.base import NetworkTask, SegmentationNetwork
from dgsweep.networks.builder import build_network, count_parameters
from dgsweep.networks.nnunet_2d import DECLARATION
from dgsweep.networks.planned import planned_topology
from dgsweep.networks.small import implementation_of, make_network


def full_size(patch: tuple[int, int, int]) -> SegmentationNetwork:
    task = NetworkTask(in_channels=1, n_classes=2, patch=patch, spacing_mm=(0.8, 0.8, 5.0))
    with torch.device("meta"):
        return build_network(DECLARATION, implementation_of(DECLARATION), task, seed=0)


# Counted with PlainConvUNet of dynamic-network-architectures 0.4.4 for nnU-Net's plans of these slices.
@pytest.mark.parametrize(("side", "parameters"), [(512, 46_324_558), (256, 33_471_820)])
def test_a_slice_of_nnunets_plan_gives_the_parameters_of_plainconvunet(side, parameters):
    assert count_parameters(full_size((side, side, 1))) == parameters


def test_the_number_of_slices_and_their_distance_do_not_matter():
    task = NetworkTask(in_channels=1, n_classes=2, patch=(64, 64, 9), spacing_mm=(1.0, 1.0, 0.1))
    with torch.device("meta"):
        other = build_network(DECLARATION, implementation_of(DECLARATION), task, seed=0)
    assert count_parameters(other) == count_parameters(full_size((64, 64, 1)))
    assert count_parameters(other) != count_parameters(full_size((32, 64, 9)))


def test_channels_double_up_to_512_on_eight_levels():
    taps = full_size((512, 512, 1)).core.core
    widths = [taps.input_block, *taps.downsamples, taps.bottleneck]
    assert [block.conv1.conv.out_channels for block in widths] == [32, 64, 128, 256, 512, 512, 512, 512]


def test_outputs_keep_all_slices_and_are_each_slices_own():
    network, image = make_network(DECLARATION, (32, 32, 5)).train(), torch.randn(2, 2, 32, 32, 5)
    outputs = network(image)
    assert [tuple(out.shape) for out in outputs] == [(2, 3, 32, 32, 5), (2, 3, 16, 16, 5), (2, 3, 8, 8, 5)]
    for whole, alone in zip(outputs, network(image[..., 3:4]), strict=True):
        assert torch.allclose(whole[..., 3:4], alone, atol=1e-5)
        assert not torch.allclose(whole[..., 2:3], alone, atol=1e-5)


def test_slices_that_cannot_be_halved_twice_are_refused():
    with pytest.raises(PlanError, match="too small for nnunet_2d"):
        make_network(DECLARATION, (4, 16, 8))


def test_every_slice_that_planning_allows_has_a_topology_at_any_spacing():
    millimetres = (0.4, 1.0, 2.0, 6.0)
    for patch, spacing in itertools.product(
        itertools.product((16, 20, 44), (16, 28)), itertools.product(millimetres, repeat=2)
    ):
        assert len(planned_topology("nnunet_2d", patch, spacing, most=7).strides) >= 3
