"""Uncertainty-aware mean teacher: the entropy against SciPy's, the mask on small numbers, and who is left alone."""

import math
from dataclasses import replace

import pytest
import torch
from scipy.stats import entropy as scipys_entropy

from dgsweep.method.conformance import MethodConformance, advance, make_context, make_method
from dgsweep.method.teacher import clipped_noise, gaussian_ramp, probability_gap
from dgsweep.method.toy import toy_batch, toy_unlabelled
from dgsweep_methods.ua_mt import DECLARATION
from dgsweep_methods.ua_mt.method import certain, masked_mean


def context(**hp: float):
    return make_context(make_method(DECLARATION, hp))


def terms_of(ctx, seed: int = 5):
    batch = replace(toy_batch(seed), unlabelled=toy_unlabelled(seed))
    return batch, ctx.method.loss(ctx, batch, ctx.method.views(ctx, batch))


@pytest.mark.parametrize("classes", [2, 4])
def test_a_voxel_is_certain_where_scipys_entropy_is_below_the_share_of_the_greatest_one(classes):
    raw = torch.randn(1, classes, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    probability = torch.softmax(2 * raw, dim=1)
    expected = scipys_entropy(probability.numpy(), axis=1, base=classes) < 0.75
    found = certain(probability, 0.75)
    assert torch.equal(found, torch.as_tensor(expected))
    assert 0 < int(found.sum()) < found.numel()
    assert not torch.equal(certain(probability, 0.5), found)


def test_a_sure_answer_is_certain_and_a_uniform_one_is_not_even_at_the_end():
    sure = torch.tensor([1.0, 0.0]).view(1, 2, 1, 1, 1)
    assert bool(certain(sure, 0.01))
    assert not bool(certain(torch.full_like(sure, 0.5), 1.0 - 1e-6))


def test_the_gap_is_averaged_over_the_voxels_of_the_mask_only():
    gap = torch.tensor([1.0, 2.0, 30.0]).view(1, 3, 1, 1)
    mask = torch.tensor([True, True, False]).view(1, 3, 1, 1)
    assert float(masked_mean(gap, mask)) == 1.5
    assert float(masked_mean(gap, torch.ones_like(mask))) == 11.0
    assert float(masked_mean(gap, torch.zeros_like(mask))) == 0.0


def test_without_noise_the_term_is_the_weighted_gap_over_voxels_where_the_teacher_is_certain():
    ctx = context(noise=0.0, ramp=0.0, weight=2.0, decay=0.9, threshold=0.9)
    advance(ctx, 2)
    batch, terms = terms_of(ctx)
    student, teacher = (net(batch.unlabelled.image)[0].detach() for net in (ctx.network, ctx.modules["teacher"]))
    p = torch.softmax(teacher, dim=1)
    share = 0.9 + 0.1 * gaussian_ramp(ctx.progress(), 1.0)
    mask = -(p * p.log()).sum(1) < share * math.log(2)
    gap = probability_gap(student, teacher)
    assert 0 < int(mask.sum()) < mask.numel()
    assert float(terms["consistency"].detach()) == pytest.approx(2.0 * float(gap[mask].mean()), rel=1e-4)
    assert float(terms["consistency"].detach()) != pytest.approx(2.0 * float(gap.mean()), rel=1e-2)


def test_a_teacher_that_is_certain_nowhere_moves_nothing_and_the_step_is_not_counted():
    ctx = context(threshold=0.0)
    with torch.no_grad():
        for net in (ctx.network, ctx.modules["teacher"]):
            net.head.weight.zero_()
            net.head.bias.zero_()
    _, terms = terms_of(ctx)
    assert float(terms["consistency"].detach()) == 0.0
    assert not ctx._active_now


def test_the_entropy_is_that_of_the_mean_of_the_passes_and_the_target_is_one_more_pass():
    ctx = context(noise=1.0, passes=2, ramp=0.0, weight=1.0, decay=0.9, threshold=0.9)
    advance(ctx, 3)
    replay = torch.Generator()
    replay.set_state(ctx.generator.get_state())
    batch, terms = terms_of(ctx)
    image, teacher = batch.unlabelled.image, ctx.modules["teacher"]
    target, *passes = (teacher(image + clipped_noise(image, 1.0, replay))[0].detach() for _ in range(3))
    share = 0.9 + 0.1 * gaussian_ramp(ctx.progress(), 1.0)
    gap = probability_gap(ctx.network(image)[0], target).detach()
    expected, of_one = (
        float(gap[certain(sum(torch.softmax(one, 1) for one in used) / len(used), share)].mean())
        for used in (passes, passes[:1])
    )
    assert float(terms["consistency"].detach()) == pytest.approx(expected, rel=1e-4)
    assert expected != pytest.approx(of_one, rel=1e-3)


def test_without_unlabelled_patches_only_the_labelled_loss_is_left():
    ctx = context()
    batch = toy_batch(0)
    assert set(ctx.method.loss(ctx, batch, ctx.method.views(ctx, batch))) == {"segmentation"}


def test_eleven_forward_passes_a_step_are_counted():
    ctx = context()
    advance(ctx, 1)
    assert ctx.forward_passes == DECLARATION.forward_passes_per_step == 11


def test_the_teacher_predicts():
    ctx = context()
    assert ctx.method.predictor(ctx) is ctx.modules["teacher"]


class TestUaMtKeepsItsWord(MethodConformance):
    declaration = DECLARATION
