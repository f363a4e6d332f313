"""Entropy minimisation: the entropy is SciPy's, only unlabelled voxels count, and predictions become surer."""

from dataclasses import replace

import pytest
import torch
from scipy.stats import entropy as scipys_entropy

from dgsweep.method.conformance import MethodConformance, advance, make_context, make_method
from dgsweep.method.toy import toy_batch, toy_unlabelled
from dgsweep_methods.entropy_min import DECLARATION
from dgsweep_methods.entropy_min.method import relative_entropy


def context(**hp: float):
    return make_context(make_method(DECLARATION, hp))


@pytest.mark.parametrize("classes", [2, 4])
def test_the_entropy_is_scipys_to_the_base_of_the_number_of_classes(classes):
    logits = 2 * torch.randn(2, classes, 4, 3, 2, generator=torch.Generator().manual_seed(0))
    probability = torch.softmax(logits, dim=1).numpy()
    assert float(relative_entropy(logits)) == pytest.approx(scipys_entropy(probability, axis=1, base=classes).mean())
    assert float(relative_entropy(logits)) != pytest.approx(scipys_entropy(probability, axis=1).mean(), rel=0.01)


def test_it_is_one_where_nothing_is_known_and_zero_with_a_finite_gradient_where_all_is():
    assert float(relative_entropy(torch.zeros(1, 3, 2, 2, 2))) == pytest.approx(1.0)
    sure = torch.tensor([1e4, 0.0, -1e4]).view(1, 3, 1, 1, 1).requires_grad_()
    entropy = relative_entropy(sure)
    entropy.backward()
    assert float(entropy.detach()) == 0.0
    assert torch.equal(sure.grad, torch.zeros_like(sure))


def test_the_term_is_the_weighted_entropy_of_the_unlabelled_patches_alone():
    ctx = context(weight=2.0, ramp=0.0)
    batch = replace(toy_batch(5), unlabelled=toy_unlabelled(5))
    terms = ctx.method.loss(ctx, batch, ctx.method.views(ctx, batch))
    own, labelled = (2.0 * float(relative_entropy(ctx.network(x.image)[0]).detach()) for x in (batch.unlabelled, batch))
    assert float(terms["entropy"].detach()) == pytest.approx(own)
    assert own != pytest.approx(labelled, rel=1e-5)


def test_training_with_it_leaves_predictions_surer_than_without():
    ends = []
    for weight in (0.0, 5.0):
        ctx = context(weight=weight, ramp=0.0)
        advance(ctx, 6)
        ends.append(float(relative_entropy(ctx.network(toy_unlabelled(77).image)[0]).detach()))
    assert ends[1] < 0.9 * ends[0]


def test_without_unlabelled_patches_only_the_labelled_loss_is_left():
    ctx = context()
    batch = toy_batch(0)
    assert set(ctx.method.loss(ctx, batch, ctx.method.views(ctx, batch))) == {"segmentation"}
    assert not ctx._active_now


def test_two_forward_passes_a_step_are_counted():
    ctx = context()
    advance(ctx, 2)
    assert ctx.forward_passes == 2 * DECLARATION.forward_passes_per_step == 4


class TestEntropyMinKeepsItsWord(MethodConformance):
    declaration = DECLARATION
