"""Masked autoencoding: which blocks are hidden, what the error counts, and that the network learns to restore."""

from dataclasses import replace

import pytest
import torch

from dgsweep.method.conformance import MethodConformance, advance, make_context, make_method
from dgsweep.method.toy import hidden_toy_batch
from dgsweep_methods.mae3d import DECLARATION
from dgsweep_methods.mae3d.method import hidden_blocks, hidden_error


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_the_rounded_share_of_the_blocks_is_hidden_whole():
    hidden = hidden_blocks(torch.zeros(3, 1, 16, 16, 8), 0.75, 4, generator())
    blocks = hidden.unflatten(4, (2, 4)).unflatten(3, (4, 4)).unflatten(2, (4, 4)).float().mean(dim=(3, 5, 7))
    assert set(blocks.unique().tolist()) == {0.0, 1.0}
    assert blocks.sum(dim=(1, 2, 3, 4)).tolist() == [24.0] * 3
    assert not torch.equal(hidden[0], hidden[1])


def test_blocks_are_cut_where_a_side_is_no_multiple_of_them_and_one_at_least_is_hidden():
    hidden = hidden_blocks(torch.zeros(1, 1, 10, 6, 5), 0.01, 8, generator())
    assert hidden.shape == (1, 1, 10, 6, 5)
    assert int(hidden.sum()) in {8 * 6 * 5, 2 * 6 * 5}


def test_only_hidden_voxels_count_in_the_error():
    image, restored = torch.zeros(1, 2, 2, 2, 1), torch.ones(1, 2, 2, 2, 1)
    restored[..., 1, :, :] = 9.0
    hidden = torch.zeros(1, 1, 2, 2, 1, dtype=torch.bool)
    assert float(hidden_error(restored, image, hidden)) == 0.0
    hidden[0, 0, 0] = True
    assert float(hidden_error(restored, image, hidden)) == 1.0
    hidden[0, 0, 1] = True
    assert float(hidden_error(restored, image, hidden)) == pytest.approx((1 + 81) / 2)


def test_hidden_voxels_are_shown_as_zero_and_the_others_as_they_are():
    ctx = make_context(make_method(DECLARATION, {"block": 4, "mask": 0.5}))
    shown = []
    ctx.network.register_forward_pre_hook(lambda _, args: shown.append(args[0]))
    batch = replace(hidden_toy_batch(0), image=hidden_toy_batch(0).image + 5.0)
    ctx.method.loss(ctx, batch, ctx.method.views(ctx, batch))
    dark = shown[0] == 0
    assert float(dark.float().mean()) == 0.5
    assert torch.equal(shown[0][~dark], batch.image[~dark])


def test_a_network_learns_to_restore():
    ctx = make_context(make_method(DECLARATION, {"block": 4, "mask": 0.5}))
    advance(ctx, 1, hidden_toy_batch)
    first = float(ctx.losses["restoration"].detach())
    for _ in range(30):
        ctx.run_step(hidden_toy_batch(0))
    assert float(ctx.losses["restoration"].detach()) < 0.8 * first


class TestMae3dKeepsItsWord(MethodConformance):
    declaration = DECLARATION
