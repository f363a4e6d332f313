"""Mean teacher: the gap, the ramp and the average on small numbers, and what the teacher is for."""

import math
from dataclasses import replace

import pytest
import torch

from dgsweep.method.conformance import MethodConformance, advance, make_context, make_method
from dgsweep.method.teacher import average_decay, average_into, clipped_noise, gaussian_ramp, probability_gap
from dgsweep.method.toy import toy_batch, toy_unlabelled
from dgsweep_methods.mean_teacher import DECLARATION


def context(**hp: float):
    return make_context(make_method(DECLARATION, hp))


def test_the_gap_is_the_mean_square_over_classes_of_the_difference_of_probabilities():
    # Probabilities (3/4, 1/4) and (1/2, 1/2): squares 1/16 and 1/16, mean 1/16.
    student = torch.tensor([math.log(3.0), 0.0]).view(1, 2, 1, 1, 1)
    teacher = torch.zeros(1, 2, 1, 1, 1)
    assert float(probability_gap(student, teacher)) == pytest.approx(1 / 16)
    assert float(probability_gap(student, student + 5.0)) == pytest.approx(0.0, abs=1e-12)


def test_the_ramp_is_the_published_one():
    assert gaussian_ramp(0.0, 0.5) == pytest.approx(math.exp(-5))
    assert gaussian_ramp(0.25, 0.5) == pytest.approx(math.exp(-1.25))
    assert gaussian_ramp(0.5, 0.5) == gaussian_ramp(0.9, 0.5) == gaussian_ramp(0.0, 0.0) == 1.0


def test_the_average_forgets_fast_at_first_and_then_keeps_its_decay():
    assert [average_decay(step, 0.99) for step in (0, 1, 9)] == pytest.approx([0.0, 0.5, 0.9])
    assert average_decay(1000, 0.99) == 0.99


def test_the_teacher_is_the_mean_of_old_and_new_weights_and_takes_over_statistics():
    teacher, student = torch.nn.BatchNorm1d(1), torch.nn.BatchNorm1d(1)
    teacher.weight.data.fill_(1.0)
    student.weight.data.fill_(3.0)
    student.running_mean.fill_(7.0)
    average_into(teacher, student, 0.75)
    assert float(teacher.weight.detach()) == 1.5
    assert float(teacher.running_mean) == 7.0


def test_noise_is_cut_at_two_deviations():
    noise = clipped_noise(torch.zeros(20000), 0.1, torch.Generator().manual_seed(0))
    assert float(noise.abs().max()) == pytest.approx(0.2)
    assert float(noise.std()) == pytest.approx(0.0959, abs=0.002)  # a normal law with its tails put at the ends


def test_the_term_is_the_weighted_gap_between_student_and_teacher_on_unlabelled_patches():
    ctx = context(noise=0.0, ramp=0.0, weight=2.0)
    advance(ctx, 2)
    batch = replace(toy_batch(5), unlabelled=toy_unlabelled(5))
    terms = ctx.method.loss(ctx, batch, ctx.method.views(ctx, batch))
    student, teacher = (net(batch.unlabelled.image)[0] for net in (ctx.network, ctx.modules["teacher"]))
    assert float(terms["consistency"].detach()) == pytest.approx(2.0 * float(probability_gap(student, teacher).mean()))
    assert float(terms["consistency"].detach()) > 0


def test_without_unlabelled_patches_only_the_labelled_loss_is_left():
    ctx = context()
    batch = toy_batch(0)
    assert set(ctx.method.loss(ctx, batch, ctx.method.views(ctx, batch))) == {"segmentation"}


def test_the_teacher_predicts_follows_the_student_and_gets_no_gradient():
    ctx = context(decay=0.9)
    start = ctx.modules["teacher"].stem.weight.clone()
    advance(ctx, 3)
    teacher, student = ctx.modules["teacher"], ctx.network
    assert ctx.method.predictor(ctx) is teacher
    assert not torch.equal(teacher.stem.weight, start)
    assert not torch.equal(teacher.stem.weight, student.stem.weight)
    assert all(parameter.grad is None for parameter in teacher.parameters())


def test_three_forward_passes_a_step_are_counted():
    ctx = context()
    advance(ctx, 2)
    assert ctx.forward_passes == 6


class TestMeanTeacherKeepsItsWord(MethodConformance):
    declaration = DECLARATION
