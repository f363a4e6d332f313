"""VoCo: where crops lie, how much they overlap, each part of the loss by hand, and who gets a gradient."""

import math
from dataclasses import replace

import pytest
import torch

from dgsweep.method.conformance import MethodConformance, advance, make_context, make_method
from dgsweep.method.toy import hidden_toy_batch
from dgsweep_methods.voco import DECLARATION
from dgsweep_methods.voco.method import base_corners, cropped, likeness, mean_likeness, overlaps, position_loss

CPU = torch.device("cpu")
HALF = torch.tensor([0.5, 0.5, 1.0])


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def context(**hp):
    return make_context(make_method(DECLARATION, {"projection": 32, **hp}))


def test_base_crops_are_the_cells_of_the_grid():
    assert base_corners((2, 2, 1), CPU).tolist() == [[0, 0, 0], [0, 0.5, 0], [0.5, 0, 0], [0.5, 0.5, 0]]
    assert base_corners((4, 1, 1), CPU)[:, 0].tolist() == [0.0, 0.25, 0.5, 0.75]


def test_a_crop_shows_its_box_at_the_patchs_size():
    x, y, z = torch.meshgrid(*[torch.arange(length) + 0.5 for length in (16, 12, 8)], indexing="ij")
    image = torch.stack([x, y, z])[None].repeat(2, 1, 1, 1, 1)
    found = cropped(image, torch.tensor([[0.5, 0.25, 0.0], [0.0, 0.0, 0.0]]), HALF)
    # Box of 8 x 6 x 8 voxels from (8, 3, 0): voxel centres half a voxel of the patch apart.
    torch.testing.assert_close(found[0, 0, :, 0, 0], torch.arange(16) * 0.5 + 8.25 - 0.25 * (torch.arange(16) == 15))
    torch.testing.assert_close(found[0, 1, 0, :, 0], torch.arange(12) * 0.5 + 3.25)
    torch.testing.assert_close(found[0, 2, 0, 0], torch.arange(8) + 0.5)
    assert not torch.allclose(found[0], found[1])
    whole = cropped(image, torch.zeros(2, 3), torch.ones(3))
    torch.testing.assert_close(whole, image)


def test_overlaps_are_shares_of_the_volume_and_sum_to_one_over_the_grid():
    bases = base_corners((2, 2, 1), CPU)
    targets = torch.tensor([[[0.0, 0.0, 0.0], [0.25, 0.0, 0.0], [0.5, 0.25, 0.0], [0.1, 0.2, 0.0]]])
    found = overlaps(targets, bases, HALF)[0]
    assert found[:3].tolist() == [[1, 0, 0, 0], [0.5, 0, 0.5, 0], [0, 0, 0.5, 0.5]]
    torch.testing.assert_close(found[3], torch.tensor([0.8 * 0.6, 0.8 * 0.4, 0.2 * 0.6, 0.2 * 0.4]))
    many = overlaps(torch.rand(5, 7, 3, generator=stream()) * (1 - HALF), bases, HALF)
    torch.testing.assert_close(many.sum(2), torch.ones(5, 7))
    assert many.std() > 0.1


def test_likeness_is_the_cosine_and_never_negative():
    first = torch.tensor([[[3.0, 4.0], [1.0, 0.0]]])
    second = torch.tensor([[[1.0, 0.0], [-2.0, 0.0], [0.0, 0.0]]])
    torch.testing.assert_close(likeness(first, second), torch.tensor([[[0.6, 0.0, 0.0], [1.0, 0.0, 0.0]]]))


def test_the_position_loss_is_the_published_one_by_hand():
    overlap = torch.tensor([[[0.75, 0.25, 0.0, 0.0]]])
    found = torch.tensor([[[0.5, 0.5, 0.2, 0.4]]])
    near, apart = position_loss(found, overlap)
    assert float(near) == pytest.approx(-math.log(0.75), rel=1e-5)
    assert float(apart) == pytest.approx((0.04 + 0.16) / 2)
    right = position_loss(overlap, overlap)
    assert float(right[0]) == pytest.approx(0.0, abs=1e-5)
    assert float(right[1]) == 0.0
    weighted = position_loss(torch.tensor([[[0.75, 0.5, 0.0, 0.0]]]), overlap)[0]
    assert float(weighted) == pytest.approx(-0.25 * math.log(0.75), rel=1e-4)
    assert float(position_loss(found[..., :2], overlap[..., :2])[1]) == 0.0  # no pair is apart
    assert math.isfinite(float(position_loss(1 - overlap.round(), overlap.round())[0]))


def test_the_mean_likeness_counts_each_pair_once_and_no_vector_with_itself():
    vectors = torch.tensor([[[1.0, 0.0], [0.0, 2.0], [3.0, 4.0]]])
    assert float(mean_likeness(vectors)) == pytest.approx((0.0 + 0.6 + 0.8) / 3)
    assert float(mean_likeness(vectors[:, :2])) == 0.0
    assert float(mean_likeness(vectors[:, [0, 0]])) == pytest.approx(1.0)


def test_the_network_sees_base_crops_and_then_target_crops_of_the_patches_size():
    ctx = context(grid=(2, 2, 2), targets=3)
    seen, pooled = [], []
    ctx.network.register_forward_pre_hook(lambda _module, given: seen.append(given[0].detach()))
    ctx.network.taps["bottleneck"].register_forward_hook(lambda _m, _i, out: pooled.append(out.mean((2, 3, 4))))
    batch = hidden_toy_batch(0)
    ctx.generator.manual_seed(1)
    terms = ctx.method.loss(ctx, batch, ctx.method.views(ctx, batch))
    assert [image.shape for image in seen] == [batch.image.shape] * 11
    sides, bases = torch.full((3,), 0.5), base_corners((2, 2, 2), CPU)
    targets = torch.rand(4, 3, 3, generator=stream(1)) * 0.5
    torch.testing.assert_close(seen[5], cropped(batch.image, bases[5].expand(4, 3), sides))
    torch.testing.assert_close(seen[10], cropped(batch.image, targets[:, 2], sides))
    assert not torch.allclose(seen[10], seen[9])
    vectors = ctx.modules["projector"](torch.cat(pooled)).view(11, 4, -1).transpose(0, 1)
    expected = position_loss(likeness(vectors[:, 8:], vectors[:, :8]), overlaps(targets, bases, sides))
    assert float(terms["overlap"].detach()) == pytest.approx(float(expected[0].detach()), rel=1e-4)
    assert float(terms["no_overlap"].detach()) == pytest.approx(float(expected[1].detach()), rel=1e-4, abs=1e-7)
    reg = float(mean_likeness(vectors[:, :8]).detach())
    assert float(terms["orthogonality"].detach()) == pytest.approx(reg, rel=1e-4)


def test_base_crops_get_their_gradient_from_the_orthogonality_alone(monkeypatch):
    ctx = context()
    made, project = [], type(ctx.method)._projected

    def recorded(self, *given):
        made.append(project(self, *given))
        made[-1].retain_grad()
        return made[-1]

    monkeypatch.setattr(type(ctx.method), "_projected", recorded)
    batch = hidden_toy_batch(0)
    terms = ctx.method.loss(ctx, batch, ctx.method.views(ctx, batch))
    (terms["overlap"] + terms["no_overlap"]).backward(retain_graph=True)
    (vectors,) = made
    bases, targets = vectors.grad.abs().sum((0, 2)).split([4, 4])
    assert float(bases.max()) == 0.0
    assert float(targets.min()) > 0.0
    vectors.grad = None
    terms["orthogonality"].backward()
    bases, targets = vectors.grad.abs().sum((0, 2)).split([4, 4])
    assert float(bases.min()) > 0.0
    assert float(targets.max()) == 0.0


def test_places_are_learnt_from_what_lies_there_and_crops_do_not_become_one():
    x, y, z = torch.meshgrid(*[torch.linspace(-1, 1, length) for length in (16, 16, 8)], indexing="ij")
    stripes = torch.where(x < 0, torch.sin(12 * y), torch.sin(5 * x + 3 * z)) + (y > 0) * torch.sin(20 * x)
    batch = replace(hidden_toy_batch(0), image=stripes.expand(4, 1, 16, 16, 8).clone())
    ctx = context()
    found = []
    for _ in range(30):
        ctx.run_step(batch)
        found.append(float(sum(value.detach() for value in ctx.losses.values())))
    assert sum(found[-5:]) / 5 < 0.5 * found[0]
    assert float(ctx.losses["orthogonality"].detach()) < 0.1


def test_eight_forward_passes_a_step_are_counted():
    ctx = context()
    advance(ctx, 2, hidden_toy_batch)
    assert ctx.forward_passes == 2 * DECLARATION.forward_passes_per_step == 16
    assert set(ctx.losses) == {"overlap", "no_overlap", "orthogonality"}
    bare = context(orthogonality=0.0)
    advance(bare, 1, hidden_toy_batch)
    assert set(bare.losses) == {"overlap", "no_overlap"}


@pytest.mark.parametrize("size", [(48, 40, 24), (15, 9, 1)])
def test_a_batch_of_two_fits_at_any_size(size):
    ctx = context()
    image = torch.randn(2, 1, *size, generator=stream())
    ctx.run_step(replace(hidden_toy_batch(0), image=image, label=torch.full((2, *size), -1)))
    assert all(bool(torch.isfinite(value)) for value in ctx.losses.values())


class TestVoCoKeepsItsWord(MethodConformance):
    declaration = DECLARATION
