"""Dual self-supervision: borders against SciPy, sums and contrast by hand, corruption that stays in its cubes."""

import math

import pytest
import torch
from scipy import ndimage

from dgsweep.method.conformance import MethodConformance, advance, make_context, make_method
from dgsweep.method.corruption import cube_draws
from dgsweep.method.toy import toy_batch
from dgsweep_methods.dual_ssl import DECLARATION
from dgsweep_methods.dual_ssl.corruption import CUBES, bezier, corrupted, recoloured
from dgsweep_methods.dual_ssl.method import (
    class_sums,
    draw_voxels,
    near_border,
    prototype_contrast,
    restoration_loss,
    uncertain,
)


def context(**hp: float):
    return make_context(make_method(DECLARATION, hp))


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise_image(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=stream(9))


@pytest.mark.parametrize("reach", [1, 3])
def test_the_band_is_scipys_dilation_without_its_erosion_for_one_structure(reach):
    label = toy_batch(0, n=1).label
    square = ndimage.generate_binary_structure(3, 3)
    mask = label[0].numpy().astype(bool)
    grown = ndimage.binary_dilation(mask, square, iterations=reach)
    shrunk = ndimage.binary_erosion(mask, square, iterations=reach, border_value=1)
    assert torch.equal(near_border(label, reach)[0], torch.as_tensor(grown & ~shrunk))
    assert not torch.equal(near_border(label, reach + 1), near_border(label, reach))


def test_two_structures_that_touch_have_a_border_and_a_flat_label_has_none():
    label = torch.zeros(1, 8, 1, 1, dtype=torch.long)
    label[:, 4:] = 2
    label[:, 2:4] = 1
    assert near_border(label, 1)[0, :, 0, 0].tolist() == [False, True, True, True, True, False, False, False]
    assert not near_border(torch.full((1, 4, 4, 4), 2), 3).any()


def test_a_voxel_is_uncertain_by_its_entropy_wherever_it_lies():
    logits = torch.tensor([[0.0, 9.0], [0.0, 0.0]]).view(1, 2, 2, 1, 1)  # voxel 0 is even, voxel 1 is sure
    flat = torch.zeros(1, 2, 1, 1, dtype=torch.long)
    assert uncertain(logits, flat, 0.5).flatten().tolist() == [True, False]
    assert uncertain(logits, torch.tensor([0, 1]).view(1, 2, 1, 1), 0.5).all()


def test_half_of_the_drawn_voxels_lie_in_the_mask_while_it_lasts():
    mask = torch.zeros(2, 10, 10, 10, dtype=torch.bool)
    mask[:, :2, :5, :5] = True
    drawn = draw_voxels(mask, 60, stream())
    inside = mask.flatten(1).gather(1, drawn)
    assert drawn.shape == (2, 60)
    assert inside[:, :30].all()
    assert int(inside[:, 30:].sum()) < 15
    assert len(drawn[0, :30].unique()) == 30


def test_class_sums_hold_unit_vectors_and_their_number():
    feature = torch.tensor([[3.0, 0.0, 5.0], [4.0, 2.0, 0.0]]).view(1, 2, 3, 1, 1)
    label = torch.tensor([0, 0, 2]).view(1, 3, 1, 1)
    expected = torch.tensor([[0.6, 1.8, 2.0], [0.0, 0.0, 0.0], [1.0, 0.0, 1.0]])
    torch.testing.assert_close(class_sums(feature, label, 3), expected)


def test_the_contrast_is_the_log_softmax_of_cosines_over_the_classes_that_were_seen():
    sums = torch.tensor([[5.0, 0.0, 5.0], [0.0, 0.0, 0.0], [0.0, 2.0, 2.0]])
    vectors, label = torch.tensor([[3.0, 4.0]]), torch.tensor([2])
    expected = -math.log(math.exp(0.8 / 0.5) / (math.exp(0.6 / 0.5) + math.exp(0.8 / 0.5)))
    assert float(prototype_contrast(vectors, label, sums, 0.5)) == pytest.approx(expected, rel=1e-5)
    assert float(prototype_contrast(vectors, torch.tensor([0]), sums, 0.5)) > expected


def test_a_frequent_class_counts_no_more_than_a_rare_one():
    sums = torch.tensor([[5.0, 1.0, 5.0], [0.0, 2.0, 2.0]])
    rare, often = torch.tensor([[3.0, 4.0]]), torch.tensor([[1.0, 0.5]])
    one = prototype_contrast(torch.cat([rare, often]), torch.tensor([1, 0]), sums, 0.5)
    many = prototype_contrast(torch.cat([rare, *[often] * 9]), torch.tensor([1, *[0] * 9]), sums, 0.5)
    alone = prototype_contrast(often, torch.tensor([0]), sums, 0.5)
    torch.testing.assert_close(one, many)
    assert abs(float(one - alone)) > 1e-2


def test_the_restoration_counts_the_corrupted_voxels_only():
    image, restored = torch.zeros(1, 1, 4, 1, 1), torch.tensor([1.0, -3.0, 50.0, 50.0]).view(1, 1, 4, 1, 1)
    mask = torch.tensor([True, True, False, False]).view(1, 1, 4, 1, 1)
    assert float(restoration_loss(restored, image, mask)) == 2.0
    assert float(restoration_loss(restored, image, torch.zeros_like(mask))) == 0.0


def test_the_curve_is_the_bezier_of_its_four_points_and_never_falls_with_inner_ones_in_the_unit_range():
    t = torch.linspace(0, 1, 50)
    torch.testing.assert_close(bezier(t, torch.tensor(1 / 3), torch.tensor(2 / 3)), t)
    assert (bezier(t, torch.tensor(1.0), torch.tensor(0.0)).diff() > -1e-6).all()  # flattest, at one half
    assert (bezier(t, torch.tensor(1.5), torch.tensor(0.0)).diff() < -1e-3).any()


def test_recolouring_keeps_each_samples_range_and_inverts_some():
    image = noise_image(16, 1, 6, 6, 6)
    found = recoloured(image, stream())
    torch.testing.assert_close(found.amin((1, 2, 3, 4)), image.amin((1, 2, 3, 4)))
    torch.testing.assert_close(found.amax((1, 2, 3, 4)), image.amax((1, 2, 3, 4)))
    signs = ((found - found.mean((2, 3, 4), keepdim=True)) * image).mean((1, 2, 3, 4)).sign()
    assert set(signs.tolist()) == {-1.0, 1.0}


@pytest.mark.parametrize("size", [(16, 16, 8), (9, 5, 20)])
def test_corruption_fits_any_size_and_is_the_same_way_within_a_cube_of_eight(size):
    image = noise_image(2, 2, *size)
    assert corrupted(image, stream()).shape == image.shape
    assert torch.isfinite(corrupted(torch.ones_like(image), stream())).all()
    drawn = cube_draws(image, CUBES, stream())
    assert len(drawn[0, 0, :8, :8, :8].unique()) == 1
    assert len(drawn.unique()) == 2 * math.prod(-(-n // 8) for n in size)


def test_the_bank_remembers_as_many_steps_as_it_is_told_and_no_more():
    ctx = context(memory=2)
    counts = []
    for _ in range(4):
        advance(ctx, ctx.step + 1)
        counts.append(float(ctx.state["bank"][:, :, -1].sum()))
    voxels = toy_batch(0).label.numel()
    assert counts == [voxels, 2 * voxels, 2 * voxels, 2 * voxels]


def test_features_of_the_classes_end_further_apart_than_without_the_contrast():
    ends = []
    for weight in (0.0, 5.0):
        ctx = context(contrast=weight, restoration=0.0, ramp=0.0)
        advance(ctx, 6)
        batch = toy_batch(77)
        ctx.forward(batch.image)
        sums = class_sums(ctx.features["decoded"].detach(), batch.label, 2)[:, :-1]
        ends.append(float(torch.cosine_similarity(sums[0], sums[1], dim=0)))
    assert ends[1] < 0.8 * ends[0]


def test_only_uncertain_voxels_of_drawn_cubes_are_shown_corrupted():
    ctx = context(contrast=0.0, ramp=0.0, rate=0.5)
    seen, batch = [], toy_batch(3)
    ctx.network.register_forward_pre_hook(lambda _module, given: seen.append(given[0].detach()))
    ctx.method.loss(ctx, batch, ctx.method.views(ctx, batch))
    clean, shown = seen
    assert torch.equal(clean, batch.image)
    changed = (shown != clean)[:, 0]
    unsure = uncertain(ctx.network(batch.image)[0], batch.label, 0.5)
    assert bool(changed.any())
    assert not bool((changed & ~unsure).any())
    assert bool((unsure & ~changed).any())


def test_two_forward_passes_a_step_are_counted_and_both_heads_learn():
    ctx = context(ramp=0.0)
    before = ctx.modules["restorer"].weight.clone()
    advance(ctx, 2)
    assert ctx.forward_passes == 2 * DECLARATION.forward_passes_per_step == 4
    assert not torch.equal(ctx.modules["restorer"].weight, before)


class TestDualSslKeepsItsWord(MethodConformance):
    declaration = DECLARATION
