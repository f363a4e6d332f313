"""FixMatch: what is believed, what is left out, and what SSL4MIS does instead, on small numbers."""

import math
from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from dgsweep.method.conformance import MethodConformance, advance, make_context, make_method
from dgsweep.method.intensity import strong_view
from dgsweep.method.losses import soft_dice_loss
from dgsweep.method.toy import toy_batch, toy_unlabelled
from dgsweep_methods.fixmatch import DECLARATION
from dgsweep_methods.fixmatch.method import complementary_loss, confident_loss, shipped_labels


def voxels(*probabilities):
    """Logits (1, K+1, n, 1, 1) of voxels with these class probabilities."""
    return torch.tensor(probabilities).log().T[None, :, :, None, None]


def test_voxels_that_are_not_sure_have_no_loss_and_no_gradient():
    logits = voxels((0.9, 0.1), (0.2, 0.8), (0.5, 0.5)).requires_grad_()
    label, sure = torch.tensor([0, 1, 1]).view(1, 3, 1, 1), torch.tensor([True, True, False]).view(1, 3, 1, 1)
    entropy = -(math.log(0.9) + math.log(0.8)) / 3
    dice = 1 - 2 * 0.8 / (0.1 + 0.8 + 1)
    loss = confident_loss(logits, label, sure)
    assert float(loss.detach()) == pytest.approx(entropy + dice, abs=1e-4)
    loss.backward()
    assert not logits.grad[0, :, 2].any()
    assert logits.grad[0, :, :2].all()
    whole = confident_loss(logits, label, torch.ones_like(sure))
    assert float(whole.detach()) > float(loss.detach()) + 0.1


def test_cross_entropy_agrees_with_torchs_ignore_index_up_to_the_number_of_voxels():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 4, 3, 2, generator=generator)
    label = torch.randint(3, (2, 4, 3, 2), generator=generator)
    sure = torch.rand(2, 4, 3, 2, generator=generator) < 0.6
    kept = functional.cross_entropy(logits, label.masked_fill(~sure, -100), ignore_index=-100)
    expected = kept * sure.float().mean() + soft_dice_loss(logits, label, sure)
    torch.testing.assert_close(confident_loss(logits, label, sure), expected)
    as_background = functional.cross_entropy(logits, label.masked_fill(~sure, 0)) + soft_dice_loss(logits, label, sure)
    assert not torch.isclose(confident_loss(logits, label, sure), as_background, rtol=1e-2)


def test_shipped_labels_turn_what_is_not_sure_into_background():
    # (p - min) / max of the larger class: 1 - 1/9, 1 - 1/4 and 1 - 1/5.66; below 0.8 for the second only.
    weak = voxels((0.1, 0.9), (0.2, 0.8), (0.15, 0.85))
    assert shipped_labels(weak, 0.8).flatten().tolist() == [1, 0, 1]
    assert shipped_labels(weak, 0.7).flatten().tolist() == [1, 1, 1]


def test_the_complementary_loss_is_the_one_written_out():
    weak, strong = voxels((0.6, 0.4), (0.3, 0.7)), voxels((0.5, 0.5), (0.25, 0.75))
    maps = torch.distributions.Categorical(probs=torch.tensor([[0.5, 0.25], [0.5, 0.75]]))
    focus = 1 - float(maps.entropy().mean()) / math.log(2)
    wrong = functional.cross_entropy(torch.tensor([[0.5, 0.5], [0.75, 0.25]]), torch.tensor([1, 0]))
    assert float(complementary_loss(weak, strong)) == pytest.approx(focus**2 * float(wrong), rel=1e-4)
    swapped = functional.cross_entropy(torch.tensor([[0.5, 0.5], [0.75, 0.25]]), torch.tensor([0, 1]))
    assert float(complementary_loss(weak, strong)) != pytest.approx(focus**2 * float(swapped), rel=1e-2)


def terms_of(**hp):
    ctx = make_context(make_method(DECLARATION, {"ramp": 0.0, "weight": 2.0, **hp}))
    advance(ctx, 2)
    batch = replace(toy_batch(5), unlabelled=toy_unlabelled(5))
    ctx.generator.manual_seed(1)
    with torch.no_grad():
        terms = ctx.method.loss(ctx, batch, ctx.method.views(ctx, batch))
        weak = ctx.network(batch.unlabelled.image)[0]
        shown = strong_view(batch.unlabelled.image, 0.5, ctx.generator.manual_seed(1))
        strong = ctx.network(shown)[0]
    return terms, weak, strong


def test_the_term_learns_the_strong_view_from_the_sure_labels_of_the_weak_one():
    terms, weak, strong = terms_of(confidence=0.6)
    probability, label = weak.softmax(1).max(1)
    sure = probability >= 0.6
    assert 0.1 < float(sure.float().mean()) < 0.9
    expected = 2 * confident_loss(strong, label, sure)
    assert float(terms["unlabelled"]) == pytest.approx(float(expected))
    without_views = 2 * confident_loss(weak, label, sure)
    assert float(terms["unlabelled"]) != pytest.approx(float(without_views), rel=1e-4)


def test_nobody_is_sure_and_the_unlabelled_loss_is_zero():
    assert float(terms_of(confidence=1.0)[0]["unlabelled"]) == pytest.approx(0.0, abs=1e-6)
    assert float(terms_of(confidence=1.0, variant="as_shipped")[0]["unlabelled"]) > 0.5


def test_without_unlabelled_patches_only_the_labelled_loss_is_left():
    ctx = make_context(make_method(DECLARATION))
    batch = toy_batch(0)
    assert set(ctx.method.loss(ctx, batch, ctx.method.views(ctx, batch))) == {"segmentation"}


def test_three_forward_passes_a_step_are_counted():
    ctx = make_context(make_method(DECLARATION))
    advance(ctx, 2)
    assert ctx.forward_passes == 2 * DECLARATION.forward_passes_per_step


class TestFixMatchKeepsItsWord(MethodConformance):
    declaration = DECLARATION
