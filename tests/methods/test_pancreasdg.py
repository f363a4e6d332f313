"""PancreasDG as we read it: the walk against a matrix, what it is for, and the two terms."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from dgsweep.method.conformance import MethodConformance, advance, make_context, make_method
from dgsweep.method.intensity import strong_view
from dgsweep.method.teacher import probability_gap
from dgsweep.method.toy import toy_batch, toy_unlabelled
from dgsweep_methods.pancreasdg import DECLARATION
from dgsweep_methods.pancreasdg.method import graph_walk

SHAPE = (3, 4, 2)


def walked_by_matrix(prior, image, width, steps, restart=0.1):
    """One voxel a row: the dense matrix of links, written out in numpy."""
    places = np.stack(np.unravel_index(np.arange(image.size), image.shape), 1)
    near = np.abs(places[:, None] - places[None]).sum(2) == 1
    flat = image.ravel()
    links = near * np.exp(-((flat[:, None] - flat[None]) ** 2) / (2 * width**2))
    moves = links / links.sum(1, keepdims=True)
    start = walked = prior.reshape(len(prior), -1).T
    for _ in range(steps):
        walked = (1 - restart) * moves @ walked + restart * start
    return walked.T.reshape(prior.shape)


def example():
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(2, 1, *SHAPE, generator=generator)
    return torch.randn(2, 3, *SHAPE, generator=generator).softmax(1), image


def test_the_walk_is_the_power_of_a_matrix():
    prior, image = example()
    walked = graph_walk(prior, image, 0.7, 4).numpy()
    for one, start, volume in zip(walked, prior.numpy(), image.numpy(), strict=True):
        np.testing.assert_allclose(one, walked_by_matrix(start, volume[0], 0.7, 4), atol=1e-4)
        assert np.abs(one - walked_by_matrix(start, volume[0], 0.7, 3)).max() > 1e-3


def test_probabilities_stay_probabilities_even_where_nothing_is_linked():
    prior, image = example()
    for scale in (1.0, 1e6):
        walked = graph_walk(prior, scale * image, 0.5, 10)
        torch.testing.assert_close(walked.sum(1), torch.ones(2, *SHAPE))
    torch.testing.assert_close(walked, prior)
    assert not torch.allclose(graph_walk(prior, image, 0.5, 10), prior, atol=0.01)


def test_an_image_with_inverted_contrast_has_the_same_graph():
    prior, image = example()
    assert torch.equal(graph_walk(prior, -image, 0.5, 5), graph_walk(prior, image, 0.5, 5))
    assert not torch.allclose(graph_walk(prior, image.abs(), 0.5, 5), graph_walk(prior, image, 0.5, 5), atol=0.01)


def test_the_walk_fills_a_hole_within_an_organ_and_stops_at_its_edge():
    image = torch.zeros(1, 1, 12, 4, 4)
    image[:, :, 6:] = 4.0
    prior = torch.stack([1 - image[:, 0] / 4, image[:, 0] / 4], dim=1)
    prior[:, :, 9, 2, 2] = torch.tensor([1.0, 0.0])[None]
    organ = graph_walk(prior, image, 0.5, 10)[0, 1]
    assert float(organ[9, 2, 2]) > 0.5 > float(prior[0, 1, 9, 2, 2])
    assert float(organ[:6].max()) < 1e-3
    flat = graph_walk(prior, torch.zeros_like(image), 0.5, 10)[0, 1]
    assert float(flat[:6].max()) > 0.1


def test_the_terms_are_the_gaps_of_the_strong_view_to_teacher_and_walk():
    ctx = make_context(make_method(DECLARATION, {"ramp": 0.0, "weight": 2.0, "graph": 3.0}))
    advance(ctx, 2)
    batch = replace(toy_batch(5), unlabelled=toy_unlabelled(5))
    image = batch.unlabelled.image
    ctx.generator.manual_seed(1)
    with torch.no_grad():
        terms = ctx.method.loss(ctx, batch, ctx.method.views(ctx, batch))
        student = ctx.network(strong_view(image, 0.5, ctx.generator.manual_seed(1)))[0]
        teacher = ctx.modules["teacher"](image)[0]
        gap = student.softmax(1) - graph_walk(teacher.softmax(1), image, 0.5, 10)
        unchanged = ctx.network(image)[0]
    assert float(terms["consistency"]) == pytest.approx(2 * float(probability_gap(student, teacher).mean()))
    assert float(terms["graph"]) == pytest.approx(6 * float(gap.square().mean()))
    assert float(terms["consistency"]) != pytest.approx(2 * float(probability_gap(unchanged, teacher).mean()), rel=0.01)


def test_the_teacher_predicts_and_gets_no_gradient():
    ctx = make_context(make_method(DECLARATION))
    start = ctx.modules["teacher"].stem.weight.clone()
    advance(ctx, 3)
    assert ctx.method.predictor(ctx) is ctx.modules["teacher"]
    assert not torch.equal(ctx.modules["teacher"].stem.weight, start)
    assert all(parameter.grad is None for parameter in ctx.modules["teacher"].parameters())
    assert ctx.forward_passes == 3 * DECLARATION.forward_passes_per_step


def test_without_unlabelled_patches_only_the_labelled_loss_is_left():
    ctx = make_context(make_method(DECLARATION))
    batch = toy_batch(0)
    assert set(ctx.method.loss(ctx, batch, ctx.method.views(ctx, batch))) == {"segmentation"}


class TestPancreasDgKeepsItsWord(MethodConformance):
    declaration = DECLARATION
