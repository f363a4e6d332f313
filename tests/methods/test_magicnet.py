"""MagicNet: cubes that change places and find back, blended labels by hand, and each term against its definition."""

import math
from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from dgsweep.method.conformance import STEPS, MethodConformance, advance, make_context, make_method
from dgsweep.method.losses import soft_dice_loss
from dgsweep.method.toy import PATCH, toy_batch, toy_unlabelled
from dgsweep_methods.magicnet import DECLARATION
from dgsweep_methods.magicnet.cubes import across, cells_of, cube_means, cut, put_back, random_order, within
from dgsweep_methods.magicnet.method import ALONE, KEPT, blended_labels, class_frequency

CELLS = (2, 3, 1)


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def volume(*size):
    return torch.randn(3, 2, *size, generator=stream(7))


def context(**hp):
    return make_context(make_method(DECLARATION, hp))


def both(step=5):
    return replace(toy_batch(step), unlabelled=toy_unlabelled(step))


def losses(ctx, batch):
    ctx.generator.manual_seed(1)
    return ctx.method.loss(ctx, batch, ctx.method.views(ctx, batch))


def test_cubes_are_cut_in_the_order_of_their_places_and_put_back():
    image = volume(4, 6, 5)
    cubes = cut(image, CELLS)
    assert cubes.shape == (3, 2, 6, 2 * 2 * 5)
    for place, (i, j) in enumerate((i, j) for i in range(2) for j in range(3)):
        own = image[:, :, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].flatten(2)
        assert torch.equal(cubes[:, :, place], own)
    assert torch.equal(put_back(cubes, torch.zeros_like(image), CELLS), image)
    assert not torch.equal(put_back(cubes.flip(2), torch.zeros_like(image), CELLS), image)


def test_an_axis_has_as_many_cubes_as_told_or_as_it_has_voxels():
    assert cells_of((48, 40, 24), 3) == (3, 3, 3)
    assert cells_of((48, 2, 1), 3) == (3, 2, 1)


@pytest.mark.parametrize(("move", "dim"), [(across, 0), (within, 1)])
def test_the_inverse_order_brings_every_cube_back_and_no_other_order_does(move, dim):
    image = volume(5, 7, 5)
    order = random_order((3, 6), dim, stream())
    moved = move(image, order, CELLS)
    assert not torch.equal(moved, image)
    assert torch.equal(moved[:, :, 4:], image[:, :, 4:])  # no whole cube holds the fifth
    assert torch.equal(move(moved, order.argsort(dim=dim), CELLS), image)
    assert not torch.equal(move(moved, order, CELLS), image)


def test_across_exchanges_samples_at_a_place_and_within_exchanges_places_of_a_sample():
    image = volume(4, 6, 5)
    cubes = cut(image, CELLS)
    order = random_order((3, 6), 0, stream())
    found = cut(across(image, order, CELLS), CELLS)
    for sample in range(3):
        for place in range(6):
            assert torch.equal(found[sample, :, place], cubes[order[sample, place], :, place])
    order = random_order((3, 6), 1, stream())
    found = cut(within(image, order, CELLS), CELLS)
    for sample in range(3):
        for place in range(6):
            assert torch.equal(found[sample, :, place], cubes[sample, :, order[sample, place]])
    assert order.sort(dim=1).values.tolist() == [list(range(6))] * 3
    assert len({tuple(row) for row in order.tolist()}) == 3


def test_the_mean_vector_of_a_cube_is_that_of_its_voxels():
    feature = volume(4, 6, 5)
    means = cube_means(feature, CELLS)
    assert means.shape == (3, 6, 2)
    torch.testing.assert_close(means[1, 4], feature[1, :, 2:4, 2:4].mean((1, 2, 3)))


def test_a_rare_class_of_the_teacher_is_believed_and_the_cubes_where_it_sees_the_frequent_one():
    # The teacher says 0, 1, 2 with a margin of 1; the cubes say 2, 0, 0 with a margin of 3.
    teacher, cubes = torch.zeros(1, 3, 3, 1, 1), torch.zeros(1, 3, 3, 1, 1)
    for voxel, (said, other) in enumerate([(0, 2), (1, 0), (2, 0)]):
        teacher[0, said, voxel], cubes[0, other, voxel] = 1.0, 3.0
    # Weights 1, 1/2 and 1/10: class 1 loses by 0.5 to 1.5, class 2 wins by 0.9 to 0.3.
    frequency = torch.tensor([10.0, 5.0, 1.0])
    assert blended_labels(teacher, cubes, frequency).flatten().tolist() == [2, 0, 2]
    assert blended_labels(teacher, cubes, torch.tensor([1.0, 1.0, 10.0])).flatten().tolist() == [0, 1, 0]


def test_class_frequency_counts_absent_classes_too():
    assert class_frequency(torch.tensor([0, 0, 2]).view(1, 3, 1, 1), 4).tolist() == [2.0, 0.0, 1.0, 0.0]


def test_every_term_is_what_its_definition_says():
    ctx = context(recovery=0.5, location=0.25, consistency=2.0, ramp=0.0, cubes=2)
    advance(ctx, 3)
    batch = both()
    frequency = ctx.state["frequency"].clone()
    terms = {name: float(value.detach()) for name, value in losses(ctx, batch).items()}
    draws, cells = stream(1), (2, 2, 2)
    image = torch.cat([batch.image, batch.unlabelled.image])
    mixed, turned = random_order((8, 8), 0, draws), random_order((8, 8), 1, draws)
    noise = (0.1 * torch.randn(4, 1, *PATCH, generator=draws)).clamp(-0.2, 0.2)
    with torch.no_grad():
        crossed = across(ctx.network(across(image, mixed, cells))[0], mixed.argsort(0), cells)
        inner = within(ctx.network(within(image, turned, cells))[0], turned.argsort(1), cells)
        places = ctx.modules["locator"](cube_means(ctx.features["decoded"], cells))
        teacher = ctx.modules["teacher"](batch.unlabelled.image + noise)[0]
        guess = blended_labels(teacher, inner[4:], frequency)
        dice = soft_dice_loss(crossed[:4], batch.label) + soft_dice_loss(inner[:4], batch.label)
        location = functional.cross_entropy(places.flatten(0, 1), turned.flatten())
        consistency = soft_dice_loss(crossed[4:], guess)
        wrong = functional.cross_entropy(places.flatten(0, 1), turned.argsort(1).flatten())
    assert terms["recovery"] == pytest.approx(0.5 * float(dice))
    assert terms["location"] == pytest.approx(0.25 * float(location))
    assert terms["location"] != pytest.approx(0.25 * float(wrong), rel=1e-4)
    assert terms["consistency"] == pytest.approx(2.0 * float(consistency))
    assert consistency != soft_dice_loss(ctx.network(batch.unlabelled.image)[0], guess)


def test_the_teacher_labels_alone_at_first_and_classes_are_remembered(monkeypatch):
    ctx = context()
    blended = []
    monkeypatch.setattr(
        "dgsweep_methods.magicnet.method.blended_labels",
        lambda teacher, cubes, frequency: blended.append(frequency) or blended_labels(teacher, cubes, frequency),
    )
    assert 0 < ALONE < 1 / STEPS
    advance(ctx, 1)
    assert not blended
    first = ctx.state["frequency"].clone()
    assert float(first.sum()) == 4 * math.prod(PATCH)
    advance(ctx, 2)
    assert torch.equal(blended[0], first)
    change = (ctx.state["frequency"] - KEPT * first) / (1 - KEPT)
    assert float(change.sum()) == pytest.approx(4 * math.prod(PATCH), rel=1e-4)


def test_the_consistency_is_ramped_and_reaches_no_teacher():
    early, late = context(ramp=1.0), context(ramp=0.0)
    values = [float(losses(ctx, both())["consistency"].detach()) for ctx in (early, late)]
    assert values[0] == pytest.approx(math.exp(-5) * values[1])
    advance(late, 2)
    assert all(parameter.grad is None for parameter in late.modules["teacher"].parameters())
    assert late.method.predictor(late) is late.modules["teacher"]


def test_the_head_learns_where_cubes_come_from():
    ctx = context(recovery=0.0, consistency=0.0, cubes=2)
    position = torch.linspace(-1, 1, PATCH[0]).view(1, 1, -1, 1, 1).expand(4, 1, *PATCH)
    batch = replace(both(), image=position, unlabelled=replace(toy_unlabelled(0), image=position))
    found = []
    for _ in range(40):
        ctx.run_step(batch)
        found.append(float(ctx.losses["location"].detach()))
    assert found[-1] < 0.9 * found[0]


def test_without_unlabelled_patches_only_the_labelled_loss_is_left():
    assert set(losses(context(), toy_batch(0))) == {"segmentation"}
    assert set(losses(context(), both())) == {"segmentation", "recovery", "location", "consistency"}


def test_other_numbers_of_unlabelled_patches_and_sides_that_cubes_do_not_divide_are_taken():
    ctx = context()  # 3 cubes along 16, 16 and 8 voxels
    batch = both()
    free = batch.unlabelled.subset(torch.tensor([True, False, False, False]))
    ctx.run_step(replace(batch, unlabelled=free))
    assert all(bool(torch.isfinite(value)) for value in ctx.losses.values())


def test_six_forward_passes_a_step_are_counted():
    ctx = context()
    advance(ctx, 2)
    assert ctx.forward_passes == 2 * DECLARATION.forward_passes_per_step == 12


class TestMagicNetKeepsItsWord(MethodConformance):
    declaration = DECLARATION
