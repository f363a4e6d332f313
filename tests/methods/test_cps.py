"""Cross pseudo supervision: the loss by hand, the mean of two networks, and that each really has a start of its own."""

import math
from dataclasses import replace

import pytest
import torch

from dgsweep.method.conformance import MethodConformance, advance, make_context, make_method
from dgsweep.method.toy import toy_batch, toy_unlabelled
from dgsweep_methods.cps import DECLARATION
from dgsweep_methods.cps.method import MeanOf, cross_supervision


def context(**hp: float):
    return make_context(make_method(DECLARATION, hp))


def logits(*probabilities: float) -> torch.Tensor:
    return torch.tensor(probabilities).log().view(1, -1, 1, 1, 1)


def test_each_network_pays_for_the_other_ones_most_probable_class():
    first, second = logits(0.7, 0.2, 0.1), logits(0.3, 0.1, 0.6)
    # The second's class is 2, to which the first gives 0.1; the first's is 0, to which the second gives 0.3.
    expected = -math.log(0.1) - math.log(0.3)
    assert float(cross_supervision(first, second)) == pytest.approx(expected, rel=1e-6)
    assert float(cross_supervision(first, first)) == pytest.approx(-2 * math.log(0.7), rel=1e-6)


def test_no_gradient_passes_through_the_pseudo_labels():
    first, second = logits(0.6, 0.4).requires_grad_(), logits(0.3, 0.7).requires_grad_()
    cross_supervision(first, second).backward()
    torch.testing.assert_close(first.grad.flatten(), torch.tensor([0.6, 0.4 - 1.0]))
    torch.testing.assert_close(second.grad.flatten(), torch.tensor([0.3 - 1.0, 0.7]))


def test_the_prediction_is_the_mean_of_both_networks_probabilities():
    ctx = context()
    image = toy_batch(0).image
    first, second = ctx.network, ctx.modules["second"]
    expected = (torch.softmax(first(image)[0], 1) + torch.softmax(second(image)[0], 1)) / 2
    found = torch.softmax(ctx.method.predictor(ctx)(image)[0], 1)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(torch.softmax(MeanOf(first, first)(image)[0], 1), torch.softmax(first(image)[0], 1))
    assert not torch.allclose(found, torch.softmax(first(image)[0], 1), atol=1e-3)


@pytest.mark.parametrize("labelled_too", [False, True])
def test_the_term_is_taken_on_unlabelled_patches_and_on_labelled_ones_where_asked(labelled_too):
    ctx = context(ramp=0.0, weight=2.0, labelled_too=labelled_too)
    batch = replace(toy_batch(5), unlabelled=toy_unlabelled(5))
    terms = ctx.method.loss(ctx, batch, ctx.method.views(ctx, batch))
    image = torch.cat([batch.image, batch.unlabelled.image]) if labelled_too else batch.unlabelled.image
    expected = 2.0 * cross_supervision(ctx.network(image)[0], ctx.modules["second"](image)[0])
    assert float(terms["cross"].detach()) == pytest.approx(float(expected.detach()), rel=1e-5)


def test_both_networks_start_apart_and_both_learn():
    ctx = context()
    second = ctx.modules["second"]
    before = [ctx.network.stem.weight.clone(), second.stem.weight.clone()]
    assert not torch.equal(*before)
    advance(ctx, 2)
    assert not torch.equal(ctx.network.stem.weight, before[0])
    assert not torch.equal(second.stem.weight, before[1])


def test_the_first_network_learns_from_the_second_ones_answers():
    ends = []
    for weight in (0.0, 10.0):
        ctx = context(weight=weight, ramp=0.0)
        advance(ctx, 2)
        ends.append(ctx.network.stem.weight)
    assert not torch.allclose(*ends, rtol=1e-3)


def test_without_unlabelled_patches_both_learn_from_labels_and_the_step_is_not_active():
    ctx = context()
    batch = toy_batch(0)
    assert set(ctx.method.loss(ctx, batch, ctx.method.views(ctx, batch))) == {"segmentation", "second"}
    assert not ctx._active_now


def test_four_forward_passes_a_step_are_counted():
    ctx = context()
    advance(ctx, 2)
    assert ctx.forward_passes == 2 * DECLARATION.forward_passes_per_step == 8


class TestCpsKeepsItsWord(MethodConformance):
    declaration = DECLARATION
