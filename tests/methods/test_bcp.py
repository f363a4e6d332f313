"""BCP: the cube, what is pasted where with which label, and the two phases."""

from dataclasses import replace

import pytest
import torch

from dgsweep.method.conformance import STEPS, MethodConformance, advance, make_context, make_method
from dgsweep.method.losses import segmentation_loss
from dgsweep.method.toy import PATCH, toy_batch, toy_unlabelled
from dgsweep_methods.bcp import DECLARATION
from dgsweep_methods.bcp.method import cube_at_random


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def test_the_cube_has_its_share_of_each_side_and_is_anywhere_in_the_patch():
    cubes = torch.stack([cube_at_random((9, 12, 6), 2 / 3, stream(seed)) for seed in range(200)])
    assert set(cubes.flatten(1).sum(1).tolist()) == {6 * 8 * 4}
    assert set(cubes.flatten(2).any(2).sum(1).tolist()) == {6}
    first = cubes.flatten(2).any(2).float().argmax(1)
    assert set(first.tolist()) == {0, 1, 2, 3}
    assert bool(cube_at_random((9, 12, 6), 1.0, stream()).all())


def recorded(ctx, batch, monkeypatch):
    """Images that the student was shown, and the terms."""
    shown, forward = [], ctx.forward
    monkeypatch.setattr(ctx, "forward", lambda image: shown.append(image) or forward(image))
    ctx.generator.manual_seed(1)
    with torch.no_grad():
        terms = ctx.method.loss(ctx, batch, ctx.method.views(ctx, batch))
    return shown, terms


def test_both_directions_paste_image_and_label_and_weigh_what_the_teacher_says(monkeypatch):
    ctx = make_context(make_method(DECLARATION, {"weight": 0.25, "pretrain": 0.0, "decay": 0.9}))
    advance(ctx, 2)
    monkeypatch.setattr("dgsweep_methods.bcp.method.largest_components", lambda label: label)
    batch = replace(toy_batch(5), unlabelled=toy_unlabelled(5))
    shown, terms = recorded(ctx, batch, monkeypatch)
    inside = cube_at_random(PATCH, DECLARATION.hyperparameters["cube"].default, stream(1))
    known, new, other = batch.image, batch.unlabelled.image, batch.unlabelled.image.roll(1, 0)
    assert torch.equal(shown[0], known * inside + new * ~inside)
    assert torch.equal(shown[1], known * ~inside + other * inside)
    with torch.no_grad():
        guess = ctx.modules["teacher"](new)[0].argmax(1)
        for image, told, cube, name in zip(
            shown, (guess, guess.roll(1, 0)), (inside, ~inside), ("inward", "outward"), strict=True
        ):
            logits, here = ctx.network(image)[0], cube.expand_as(guess)
            expected = segmentation_loss(logits, batch.label, here) + 0.25 * segmentation_loss(logits, told, ~here)
            assert float(terms[name]) == pytest.approx(0.5 * float(expected))
            swapped = segmentation_loss(logits, batch.label, ~here) + 0.25 * segmentation_loss(logits, told, here)
            assert float(terms[name]) != pytest.approx(0.5 * float(swapped), rel=1e-3)


def test_the_first_phase_mixes_labelled_patches_only_and_is_not_active(monkeypatch):
    ctx = make_context(make_method(DECLARATION, {"pretrain": 1.0}))
    batch = replace(toy_batch(5), unlabelled=toy_unlabelled(5))
    shown, terms = recorded(ctx, batch, monkeypatch)
    inside = cube_at_random(PATCH, DECLARATION.hyperparameters["cube"].default, stream(1))
    assert len(shown) == 1
    assert torch.equal(shown[0], batch.image * ~inside + batch.image.roll(1, 0) * inside)
    label = batch.label * ~inside + batch.label.roll(1, 0) * inside
    with torch.no_grad():
        logits = ctx.network(shown[0])[0]
    assert float(terms["segmentation"]) == pytest.approx(0.5 * float(segmentation_loss(logits, label)))
    assert float(terms["segmentation"]) != pytest.approx(0.5 * float(segmentation_loss(logits, batch.label)), rel=1e-3)
    advance(ctx, STEPS)
    assert ctx.active_steps == 0


def test_the_teacher_is_the_student_until_the_second_phase_and_then_its_average():
    ctx = make_context(make_method(DECLARATION, {"pretrain": 0.5}))
    advance(ctx, STEPS // 2)
    assert torch.equal(ctx.modules["teacher"].stem.weight, ctx.network.stem.weight)
    before = ctx.network.stem.weight.detach().clone()
    advance(ctx, STEPS // 2 + 1)
    expected = 0.99 * before + 0.01 * ctx.network.stem.weight
    torch.testing.assert_close(ctx.modules["teacher"].stem.weight, expected, rtol=1e-5, atol=1e-7)
    assert not torch.allclose(before, ctx.network.stem.weight, rtol=1e-5, atol=1e-7)
    assert ctx.active_steps == 1
    assert all(parameter.grad is None for parameter in ctx.modules["teacher"].parameters())


def test_without_unlabelled_patches_labelled_ones_are_mixed(monkeypatch):
    ctx = make_context(make_method(DECLARATION, {"pretrain": 0.0}))
    shown, terms = recorded(ctx, toy_batch(0), monkeypatch)
    assert set(terms) == {"segmentation"}
    assert len(shown) == 1


def test_forward_passes_are_one_and_then_three():
    ctx = make_context(make_method(DECLARATION))
    advance(ctx, STEPS)
    assert ctx.forward_passes == 2 * 1 + 4 * 3  # 0.23 of six steps are two
    share = DECLARATION.hyperparameters["pretrain"].default
    assert DECLARATION.forward_passes_per_step == pytest.approx(share + 3 * (1 - share))


class TestBcpKeepsItsWord(MethodConformance):
    declaration = DECLARATION
