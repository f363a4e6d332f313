"""pansegnet: the published size and cost, and its linear attention against the attention over all pairs."""

import math

import pytest
import torch
from torch import Tensor

from dgsweep.networks.base import NetworkTask, SegmentationNetwork
from dgsweep.networks.builder import build_network, count_parameters
from dgsweep.networks.counting import cost
from dgsweep.networks.linear_attention import linear_attention
from dgsweep.networks.pansegnet import DECLARATION
from dgsweep.networks.pansegnet.network import position_map
from dgsweep.networks.small import implementation_of, make_network

PATCH = (16, 20, 8)


def published(*, deep_supervision: bool = True) -> NetworkTask:
    """PanSegNet's plan: patch 224 x 224 x 32, strides 2,2,1 twice and 2,2,2 three times."""
    return NetworkTask(
        in_channels=1, n_classes=2, patch=(224, 224, 32), spacing_mm=(1.0, 1.0, 4.0), deep_supervision=deep_supervision
    )


def build(task: NetworkTask) -> SegmentationNetwork:
    return build_network(DECLARATION, implementation_of(DECLARATION), task, seed=0)


def small(**options) -> SegmentationNetwork:
    return make_network(DECLARATION, PATCH, options={**DECLARATION.small, **options})


def test_it_has_the_published_number_of_parameters():
    # The paper (arXiv 2405.12367) says 43.92 M, of which 30.97 M are nnU-Net's.
    with torch.device("meta"):
        network = build(published())
    assert count_parameters(network) == 43_921_312
    assert count_parameters(network.core.bottleneck[1]) == 12_952_384 == 43_921_312 - 30_968_928


@pytest.mark.parametrize(("deep_supervision", "giga"), [(True, 552.3234), (False, 552.2389)])
def test_it_costs_what_the_paper_says(deep_supervision, giga):
    # The paper says 552.3 G, counted with deep supervision on.
    task = published(deep_supervision=deep_supervision)
    network = build(task)
    found = cost(network, task, deep_supervision=deep_supervision)
    assert round(found.flops / 1e9, 4) == giga
    assert found.taps["bottleneck"] == found.taps["bottleneck.convolved"] == (320, 7, 7, 4)


def naive_attention(query: Tensor, key: Tensor, value: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """The matrix of all pairs of tokens (N, N) and its product with the values, for one head."""
    n = len(query)
    pairs = torch.zeros(n, n)
    key_weights = key.exp() / key.exp().sum(dim=0)
    for i in range(n):
        query_weights = query[i].exp() / query[i].exp().sum()
        for j in range(n):
            pairs[i, j] = scale * (query_weights * key_weights[j]).sum()
    return pairs, pairs @ value


@pytest.mark.parametrize(("kind", "scale"), [("faithful", 1 / 8), ("corrected", 1.0)])
def test_linear_attention_equals_the_attention_over_all_pairs(kind, scale):
    query, key, value = torch.randn(3, 1, 2, 12, 64, generator=torch.Generator().manual_seed(0))
    found = linear_attention(query, key, value, kind=kind)
    for head in range(2):
        pairs, expected = naive_attention(query[0, head], key[0, head], value[0, head], scale)
        assert torch.allclose(found[0, head], expected, atol=1e-6)
        assert torch.allclose(pairs.sum(dim=1), torch.full((12,), scale), atol=1e-6)
        assert not torch.allclose(found[0, head], 2 * expected, atol=1e-6)


@pytest.mark.parametrize(("kind", "row_sum"), [("faithful", 1 / 8), ("corrected", 1.0)])
def test_rows_of_attention_sum_to_an_eighth_as_published_and_to_one_corrected(kind, row_sum):
    query, key = torch.randn(2, 1, 1, 30, 64, generator=torch.Generator().manual_seed(1))
    weights = linear_attention(query, key, torch.eye(30)[None, None], kind=kind)
    assert torch.allclose(weights.sum(dim=-1), torch.full((1, 1, 30), row_sum), atol=1e-6)
    assert (weights > 0).all()


def test_the_option_decides_the_kind_of_attention():
    image = torch.randn(1, 2, *PATCH)
    faithful, corrected = small().eval(), small(attention="corrected").eval()
    assert all(torch.equal(a, b) for a, b in zip(faithful.parameters(), corrected.parameters(), strict=True))
    assert not torch.allclose(faithful(image)[0], corrected(image)[0])


def test_positions_are_sinusoids_of_the_number_of_the_voxel_with_z_slowest():
    found = position_map((2, 3, 4), 6)
    for x, y, z in [(0, 0, 0), (1, 0, 0), (0, 2, 0), (1, 1, 3)]:
        number = (z * 3 + y) * 2 + x
        angles = [number / 10_000 ** (2 * pair / 6) for pair in range(3)]
        expected = [wave(angle) for angle in angles for wave in (math.sin, math.cos)]
        assert torch.allclose(found[0, :, x, y, z], torch.tensor(expected), atol=1e-5)


def test_another_patch_than_the_trained_one_is_taken_with_interpolated_positions():
    network = small().eval()
    block = network.core.bottleneck[1]
    size = block.position.shape[2:]
    assert block._position(size) is block.position
    longer = torch.Size([size[0] * 2, size[1], size[2]])
    assert torch.allclose(block._position(longer).mean(), block.position.mean(), atol=1e-6)
    image = torch.randn(1, 2, 2 * PATCH[0], *PATCH[1:])
    assert network(image)[0].shape == (1, 3, *image.shape[2:])


def test_cloned_layers_and_their_matrices_start_equal_and_independent_ones_do_not():
    for init, equal in (("cloned", True), ("independent", False)):
        first, second = small(init=init).core.bottleneck[1].layers
        assert torch.equal(first.feed_forward[0].weight, second.feed_forward[0].weight) is equal
        matrices = [first.attention.query, first.attention.key, first.attention.value, second.attention.out]
        assert all(torch.equal(matrices[0].weight, matrix.weight) for matrix in matrices[1:]) is equal


def test_nothing_goes_around_the_attention():
    network = small().eval()
    block, seen = network.core.bottleneck[1], []
    torch.nn.init.zeros_(block.from_tokens.weight)
    network.taps["bottleneck"].register_forward_hook(lambda _m, _i, out: seen.append(out))
    network.taps["bottleneck.convolved"].register_forward_hook(lambda _m, _i, out: seen.append(out))
    network(torch.randn(1, 2, *PATCH))
    assert seen[0].std(dim=(2, 3, 4)).min() > 0
    assert torch.equal(seen[1], block.from_tokens.bias[None, :, None, None, None].expand_as(seen[1]))


def test_dropout_acts_in_training_only():
    image = torch.randn(1, 2, *PATCH)
    network = small(dropout=0.5)
    assert not torch.equal(network.train()(image)[0], network(image)[0])
    assert torch.equal(network.eval()(image)[0], network(image)[0])
