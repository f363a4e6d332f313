"""nnFormer: published size and cost, attention against its formula, stages against MONAI's."""

import pytest
import torch
from torch import Tensor, nn

from dgsweep.errors import PlanError
from dgsweep.networks.base import NetworkTask
from dgsweep.networks.builder import count_parameters
from dgsweep.networks.counting import cost
from dgsweep.networks.monai_import import without_optional_packages
from dgsweep.networks.nnformer import DECLARATION
from dgsweep.networks.nnformer.blocks import LocalStage, SkipAttention, SkipBlock, rising_chances, windows_of
from dgsweep.networks.nnformer.network import build
from dgsweep.networks.small import make_network

with without_optional_packages():
    from monai.networks.nets.swin_unetr import BasicLayer

SYNAPSE = (128, 128, 64)


def task(n_classes: int, **changes) -> NetworkTask:
    options = {name: option.default for name, option in DECLARATION.options.items()} | changes
    return NetworkTask(
        in_channels=1, n_classes=n_classes, patch=SYNAPSE, spacing_mm=(1.0, 1.0, 1.0), options=options
    )  # fmt: skip


def test_the_network_for_synapse_has_the_published_size_and_cost():
    # Shaker et al., UNETR++, table for Synapse: 150.5 M and 213.4 G. The nnFormer paper says about 150 M.
    with torch.device("meta"):
        network = build(task(14))
    network.to_empty(device="cpu")  # tracing reads shapes, so nothing needs to be initialised
    assert count_parameters(network) == 150_054_210
    assert count_parameters(network) / 1e6 == pytest.approx(150.5, rel=0.004)
    assert cost(network, task(14), deep_supervision=True).flops / 1e9 == pytest.approx(213.4, abs=0.05)


def test_half_the_channels_do_not_give_the_published_size():
    with torch.device("meta"):
        assert count_parameters(build(task(14, embed_dim=96))) / 1e6 != pytest.approx(150.5, rel=0.5)
        assert count_parameters(build(task(2))) == 149_538_078


def test_a_skip_attends_by_the_formula_with_a_bias_for_each_offset():
    window, heads, channels = (2, 3, 2), 2, 4
    attention = SkipAttention(channels, heads, window)
    skip, up = torch.randn(2, 5, 12, channels).unbind()
    with torch.no_grad():
        nn.init.normal_(attention.relative_position_bias_table)
        found = attention(skip, up)
        assert torch.allclose(found, written_out(attention, skip, up, window), atol=1e-5)
        assert not torch.allclose(found, written_out(attention, up, skip, window), atol=1e-2)


def written_out(attention: SkipAttention, skip: Tensor, up: Tensor, window: tuple[int, int, int]) -> Tensor:
    """softmax(q k / sqrt(d) + bias of the offset) v, token by token."""
    places = [(x, y, z) for x in range(window[0]) for y in range(window[1]) for z in range(window[2])]
    sides = [2 * side - 1 for side in window]
    table = attention.relative_position_bias_table.reshape(*sides, attention.num_heads)
    keys, values = (skip @ attention.kv.weight.T + attention.kv.bias).chunk(2, dim=-1)
    width = up.shape[-1] // attention.num_heads
    mixed = torch.zeros_like(up)
    for head in range(attention.num_heads):
        part = slice(head * width, (head + 1) * width)
        for token, here in enumerate(places):
            scores = torch.stack([
                (up[:, token, part] * keys[:, other, part]).sum(-1) / width**0.5
                + table[tuple(a - b + side - 1 for a, b, side in zip(here, there, window, strict=True))][head]
                for other, there in enumerate(places)
            ], dim=-1)  # fmt: skip
            mixed[:, token, part] = torch.einsum("wn,wnc->wc", scores.softmax(-1), values[..., part])
    return mixed @ attention.proj.weight.T + attention.proj.bias


@pytest.mark.parametrize("size", [(8, 8, 8), (8, 12, 4), (6, 4, 9)])  # whole windows, a thin axis, padding
def test_a_stage_computes_what_monais_computes(size):
    ours = LocalStage(8, 2, size, 4, [0.0, 0.0], [False, True]).eval()
    theirs = BasicLayer(8, 2, 2, ours.window, [0.0, 0.0], qkv_bias=True).eval()
    feature = torch.randn(2, 8, *size)
    with torch.no_grad():
        assert not torch.allclose(ours(feature), theirs(feature), atol=1e-3)
        theirs.load_state_dict(ours.state_dict())
        assert torch.allclose(ours(feature), theirs(feature), atol=1e-6)


@pytest.mark.parametrize("size", [(4, 8, 4), (5, 3, 4)])
def test_a_skip_block_that_attends_to_nothing_adds_the_two_features(size):
    block = SkipBlock(8, 2, size, 4, drop_path=0.0)
    skip, up = torch.randn(2, 2, 8, *size).unbind()
    assert not torch.allclose(block(skip, up), skip + up, atol=1e-3)
    for last in (block.attention.proj, block.mlp.linear2):
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
    assert torch.equal(block(skip, up), skip + up)


def test_windows_shrink_to_a_short_axis_and_do_not_shift_along_it():
    assert windows_of((16, 8, 8), 8) == ((8, 8, 8), (4, 0, 0))
    assert windows_of((7, 7, 2), 4) == ((4, 4, 2), (2, 2, 0))


def test_the_chance_to_skip_a_block_rises_to_the_last():
    chances = [chance for stage in rising_chances(0.7, 4) for chance in stage]
    assert chances == pytest.approx([0.1 * step for step in range(8)])


@pytest.mark.parametrize(("deep", "sizes"), [(True, [(64, 32, 32), (32, 16, 16), (16, 8, 8)]), (False, [(64, 32, 32)])])
def test_deep_supervision_has_an_output_at_half_and_at_quarter_size(deep, sizes):
    network = make_network(DECLARATION, (64, 32, 32), deep_supervision=deep).train()
    assert [tuple(out.shape[2:]) for out in network(torch.randn(1, 2, 64, 32, 32))] == sizes


def test_heads_that_do_not_divide_the_channels_are_refused():
    with pytest.raises(PlanError, match="multiple of heads 5"):
        make_network(DECLARATION, (64, 32, 16), options={"embed_dim": 24, "heads": 5})
