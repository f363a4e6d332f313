"""nnunet_resenc_m and nnunet_resenc_l: size, blocks, start, and in what the presets differ."""

import math

import pytest
import torch
from torch import nn

from dgsweep.errors import PlanError
from dgsweep.networks.base import NetworkTask, SegmentationNetwork
from dgsweep.networks.builder import build_network, count_parameters
from dgsweep.networks.nnunet_resenc_l import DECLARATION as PRESET_L
from dgsweep.networks.nnunet_resenc_m import DECLARATION as PRESET_M
from dgsweep.networks.nnunet_resenc_m.network import ResidualBlock
from dgsweep.networks.small import implementation_of, make_network
from dgsweep.plan.case import CaseInfo
from dgsweep.plan.grid import NetworkEntry, planned_patch

PATCH = (16, 16, 16)


def task_of(patch=(224, 224, 32), spacing_mm=(1.0, 1.0, 4.0)) -> NetworkTask:
    return NetworkTask(in_channels=1, n_classes=2, patch=patch, spacing_mm=spacing_mm)


def build(task: NetworkTask) -> SegmentationNetwork:
    return build_network(PRESET_M, implementation_of(PRESET_M), task, seed=0)


# Counted with ResidualEncoderUNet of dynamic-network-architectures 0.4.4.
@pytest.mark.parametrize(
    ("patch", "spacing_mm", "parameters"),
    [((224, 224, 32), (1.0, 1.0, 4.0), 101_681_546), ((160, 160, 160), (1.0, 1.0, 1.0), 102_349_770)],
)
def test_it_has_the_parameters_of_residualencoderunet(patch, spacing_mm, parameters):
    with torch.device("meta"):
        assert count_parameters(build(task_of(patch, spacing_mm))) == parameters


def test_the_encoder_has_one_three_four_six_six_six_blocks_and_the_decoder_one_convolution_a_stage():
    with torch.device("meta"):
        core = build(task_of()).core
    assert [sum(isinstance(part, ResidualBlock) for part in stage.modules()) for stage in core.encoder] == [
        1, 3, 4, 6, 6, 6,
    ]  # fmt: skip
    convolutions = [[part for part in stage.modules() if isinstance(part, nn.Conv3d)] for stage in core.decoder]
    assert [len(found) for found in convolutions] == [1] * 5


def test_blocks_start_as_their_shortcut_and_learn_from_the_second_step_on():
    network = make_network(PRESET_M, PATCH, options={"width": 4}).train()
    block, seen = network.core.encoder[1][0], []
    block.register_forward_hook(lambda module, given, out: seen.append((module.around(given[0]), out)))
    image = torch.randn(2, 2, *PATCH)
    network(image)[0].square().sum().backward()
    shortcut, out = seen[0]
    assert torch.equal(out, nn.functional.leaky_relu(shortcut, 0.01))
    assert not block.conv1.conv.weight.grad.any()
    torch.optim.SGD(network.parameters(), lr=0.01).step()
    network.zero_grad()
    network(image)[0].square().sum().backward()
    assert all(part.conv1.conv.weight.grad.any() for part in network.modules() if isinstance(part, ResidualBlock))


def test_without_that_start_blocks_learn_from_the_first_step_on():
    network = make_network(PRESET_M, PATCH, options={"width": 4, "last_norm": "one"}).train()
    network(torch.randn(2, 2, *PATCH))[0].square().sum().backward()
    assert all(part.conv1.conv.weight.grad.any() for part in network.modules() if isinstance(part, ResidualBlock))


def test_the_presets_are_one_network_on_planned_patches_of_different_size():
    cases = [
        CaseInfo(
            case_id="c", patient_id="p", center="A", sequence="T1W", labelled=True, image_sha="", shape=(384, 384, 96)
        )
    ]
    patches = {}
    for preset in (PRESET_M, PRESET_L):
        entry = NetworkEntry(declaration=preset, options={})
        patches[preset.name] = planned_patch(cases, (1.0, 1.0, 1.0), entry)
    usual, larger = (math.prod(patch) for patch in patches.values())
    assert 2 * usual < larger <= 3 * 128 * 128 * 64
    one, other = (make_network(preset, PATCH) for preset in (PRESET_M, PRESET_L))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_a_patch_that_cannot_be_halved_twice_is_refused():
    with pytest.raises(PlanError, match="too small for nnunet_resenc"):
        make_network(PRESET_M, (4, 4, 4))
