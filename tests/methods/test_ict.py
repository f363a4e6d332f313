"""Interpolation consistency: mixtures on small numbers, a network that is linear has no gap, and who predicts."""

from dataclasses import replace

import pytest
import torch

from dgsweep.method.conformance import MethodConformance, advance, make_context, make_method
from dgsweep.method.sampling import draw_partners, symmetric_beta
from dgsweep.method.toy import toy_batch, toy_unlabelled
from dgsweep_methods.ict import DECLARATION
from dgsweep_methods.ict.method import interpolation_gap, mixed


def context(**hp: float):
    return make_context(make_method(DECLARATION, hp))


def volumes(*values: float) -> torch.Tensor:
    return torch.tensor(values).view(-1, 1, 1, 1, 1)


def test_each_sample_is_mixed_with_its_partner_by_its_own_share():
    found = mixed(volumes(0.0, 10.0, 100.0), torch.tensor([1, 2, 0]), torch.tensor([1.0, 0.5, 0.2]))
    assert found.flatten().tolist() == pytest.approx([0.0, 55.0, 20.0])


def test_the_gap_is_the_mean_square_over_classes_of_the_difference_to_the_answer():
    logits = torch.tensor([0.75, 0.25]).log().view(1, 2, 1, 1, 1)
    answer = torch.tensor([0.5, 0.5]).view(1, 2, 1, 1, 1)
    assert float(interpolation_gap(logits, answer)) == pytest.approx(1 / 16)
    assert float(interpolation_gap(logits, torch.softmax(logits, 1))) == pytest.approx(0.0, abs=1e-12)


def test_the_gap_of_a_network_whose_probability_is_linear_is_zero_and_of_another_is_not():
    image = torch.rand(4, 1, 3, 3, 3, generator=torch.Generator().manual_seed(0)) * 0.8 + 0.1
    partner, share = torch.tensor([1, 2, 3, 0]), torch.tensor([0.3, 0.5, 0.9, 0.7])

    def gap(probability):
        blended = mixed(torch.cat([probability(image), 1 - probability(image)], 1), partner, share)
        shown = probability(mixed(image, partner, share))
        return float(interpolation_gap(torch.cat([shown, 1 - shown], 1).log(), blended))

    assert gap(lambda x: 0.2 + 0.5 * x) == pytest.approx(0.0, abs=1e-10)
    assert gap(lambda x: x**3) > 1e-4


def test_the_term_is_the_weighted_gap_between_the_mixtures_answer_and_the_mixed_answers():
    ctx = context(ramp=0.0, weight=2.0)
    advance(ctx, 2)
    batch = replace(toy_batch(5), unlabelled=toy_unlabelled(5))
    image, replay = batch.unlabelled.image, torch.Generator()
    replay.set_state(ctx.generator.get_state())
    terms = ctx.method.loss(ctx, batch, ctx.method.views(ctx, batch))
    partner = draw_partners(4, replay)
    share = symmetric_beta(0.2, 4, replay).view(-1, 1, 1, 1, 1)
    answer = torch.softmax(ctx.modules["teacher"](image)[0], 1)
    logits = ctx.network(share * image + (1 - share) * image[partner])[0]
    expected = 2.0 * float(interpolation_gap(logits, share * answer + (1 - share) * answer[partner]).detach())
    assert float(terms["consistency"].detach()) == pytest.approx(expected, rel=1e-4)
    assert expected > 0


def test_without_unlabelled_patches_only_the_labelled_loss_is_left():
    ctx = context()
    batch = toy_batch(0)
    assert set(ctx.method.loss(ctx, batch, ctx.method.views(ctx, batch))) == {"segmentation"}
    assert not ctx._active_now


def test_the_teacher_predicts_and_three_forward_passes_a_step_are_counted():
    ctx = context(decay=0.9)
    advance(ctx, 2)
    assert ctx.method.predictor(ctx) is ctx.modules["teacher"]
    assert not torch.equal(ctx.modules["teacher"].stem.weight, ctx.network.stem.weight)
    assert ctx.forward_passes == 2 * DECLARATION.forward_passes_per_step == 6


class TestIctKeepsItsWord(MethodConformance):
    declaration = DECLARATION
