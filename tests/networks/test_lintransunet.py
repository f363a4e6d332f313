"""lintransunet: sizes of its parts, its gates against their formulas, and which stage has which."""

import pytest
import torch
from torch import nn

from dgsweep.errors import PlanError
from dgsweep.networks.base import NetworkTask, SegmentationNetwork
from dgsweep.networks.builder import build_network, count_parameters
from dgsweep.networks.lintransunet import DECLARATION
from dgsweep.networks.lintransunet.network import AdditiveGate, SkipAttention
from dgsweep.networks.small import implementation_of, make_network

PATCH = (16, 16, 8)


def small(**options) -> SegmentationNetwork:
    return make_network(DECLARATION, PATCH, options={**DECLARATION.small, **options})


def skip_attention(**options) -> SkipAttention:
    task = NetworkTask(
        in_channels=1, n_classes=2, patch=PATCH, spacing_mm=(1.0, 1.0, 1.0),
        options={"dropout": 0.3, "attention": "faithful", "init": "independent", "layers": 2, **options},
    )  # fmt: skip
    return SkipAttention(16, task)


def test_it_has_the_parameters_of_its_parts():
    # The residual U-Net without gates was counted with ResidualUNet of nnunet 1.7.1, less the biases of its outputs.
    task = NetworkTask(in_channels=1, n_classes=2, patch=(224, 224, 32), spacing_mm=(1.0, 1.0, 4.0))
    with torch.device("meta"):
        network = build_network(DECLARATION, implementation_of(DECLARATION), task, seed=0)
    gates = [count_parameters(stage.gate) for stage in network.core.decoder]
    attention = [
        8 * (4 * (c * c + c) + 2 * c * c + 2 * c + 2 * c * c + c + 4 * c + 28 * c) + c * c + c for c in (512, 256)
    ]
    additive = [3 * (c * c + c) + c + 1 for c in (128, 64, 32)]
    assert gates == attention + additive
    assert count_parameters(network) - sum(gates) == 112_291_776
    assert count_parameters(network) == 133_896_771


def test_deep_skips_attend_and_shallow_ones_are_gated():
    task = NetworkTask(in_channels=1, n_classes=2, patch=(64, 64, 64), spacing_mm=(1.0, 1.0, 1.0))
    with torch.device("meta"):
        core = build_network(DECLARATION, implementation_of(DECLARATION), task, seed=0).core
    assert [type(stage.gate) for stage in core.decoder] == [SkipAttention, SkipAttention, AdditiveGate, AdditiveGate]
    assert [type(stage.gate) for stage in small(attention_stages=0).core.decoder] == [AdditiveGate, AdditiveGate]


def test_the_additive_gate_weighs_voxels_by_skip_and_lower_level():
    torch.manual_seed(0)
    gate, skip, below = AdditiveGate(4), torch.randn(1, 4, 3, 4, 5), torch.randn(1, 4, 3, 4, 5)

    def linear(layer: nn.Conv3d, feature: torch.Tensor) -> torch.Tensor:
        return torch.einsum("oi,bixyz->boxyz", layer.weight[:, :, 0, 0, 0], feature) + layer.bias[:, None, None, None]

    hidden = (linear(gate.of_skip, skip) + linear(gate.of_below, below)).clamp(min=0)
    weight = 1 / (1 + (-linear(gate.weight, hidden)).exp())
    out = linear(gate.out, skip * weight)
    spread, mean = torch.var_mean(out, dim=(2, 3, 4), correction=0, keepdim=True)
    assert torch.allclose(gate(skip, below), (out - mean) / (spread + 1e-5).sqrt(), atol=1e-5)
    assert not torch.allclose(gate(skip, below), gate(skip, -below), atol=1e-3)


def test_skip_attention_sees_the_whole_skip_and_nothing_of_the_lower_level():
    attention, skip = skip_attention().eval(), torch.randn(1, 16, 4, 4, 4)
    found = attention(skip, torch.zeros(1))
    assert torch.equal(found, attention(skip, torch.ones(1)))
    moved = skip.clone()
    moved[..., 0, 0, 0] += 5.0
    assert not torch.allclose(attention(moved, skip)[..., 3, 3, 3], found[..., 3, 3, 3], atol=1e-5)


def test_only_the_depthwise_convolutions_tell_where_a_voxel_is():
    attention, skip = skip_attention().eval(), torch.randn(1, 16, 4, 4, 4)
    turned = attention(skip.roll(2, dims=2), skip)
    assert not torch.allclose(turned, attention(skip, skip).roll(2, dims=2), atol=1e-4)
    for position in attention.positions:
        nn.init.zeros_(position.weight)
    turned = attention(skip.roll(2, dims=2), skip)
    assert torch.allclose(turned, attention(skip, skip).roll(2, dims=2), atol=1e-4)


def test_cloned_layers_start_equal_and_independent_ones_do_not():
    for init, equal in (("cloned", True), ("independent", False)):
        first, second = skip_attention(init=init).layers
        assert torch.equal(first.attention.query.weight, second.attention.value.weight) is equal
        assert torch.equal(first.feed_forward[0].weight, second.feed_forward[0].weight) is equal


def test_attention_is_as_published_or_corrected():
    image = torch.randn(1, 2, *PATCH)
    assert not torch.allclose(small().eval()(image)[0], small(attention="corrected").eval()(image)[0])


def test_a_tap_shows_what_each_stage_joins():
    network, seen = small().eval(), {}
    for name in ("skip0", "skip1"):
        network.taps[name].register_forward_hook(lambda _m, _i, out, name=name: seen.update({name: tuple(out.shape)}))
    network(torch.randn(1, 2, *PATCH))
    assert seen == {"skip0": (1, 16, 8, 8, 4), "skip1": (1, 8, 16, 16, 8)}


def test_a_patch_that_cannot_be_halved_twice_is_refused():
    with pytest.raises(PlanError, match="too small for lintransunet"):
        make_network(DECLARATION, (4, 4, 4))
