"""IRMv1's closed form against autograd through a scale of the logits, as DomainBed computes it."""

import pytest
import torch
from torch.nn import functional

from dgsweep.method.conformance import STEPS, MethodConformance, make_context, make_method, toy_batch
from dgsweep_methods.irm import DECLARATION
from dgsweep_methods.irm.method import invariance_penalty


def by_autograd(logits, label):
    """Gradients of the cross-entropies of even and odd voxels by a common scale, multiplied."""
    flat, truth = logits.movedim(1, -1).flatten(0, -2), label.flatten()
    scale = torch.tensor(1.0, requires_grad=True)
    even = functional.cross_entropy(flat[::2] * scale, truth[::2])
    odd = functional.cross_entropy(flat[1::2] * scale, truth[1::2])
    first = torch.autograd.grad(even, [scale], create_graph=True)[0]
    second = torch.autograd.grad(odd, [scale], create_graph=True)[0]
    return first * second


def case(n_classes: int):
    generator = torch.Generator().manual_seed(n_classes)
    logits = 2 * torch.randn(2, n_classes, 3, 4, 5, generator=generator)
    return logits.requires_grad_(), torch.randint(n_classes, (2, 3, 4, 5), generator=generator)


@pytest.mark.parametrize("n_classes", [2, 4])
def test_value_and_gradient_are_those_of_autograd_through_the_scale(n_classes):
    logits, label = case(n_classes)
    closed, reference = invariance_penalty(logits, label), by_autograd(logits, label)
    torch.testing.assert_close(closed, reference, rtol=1e-4, atol=1e-7)
    gradients = [torch.autograd.grad(value, logits)[0] for value in (closed, reference)]
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-7)
    assert not torch.allclose(closed, by_autograd(logits, label.flip(1)), rtol=1e-2)


def test_two_voxels_by_hand():
    # Logits (0, a) and label 1: p_1 a - a = -a (1 - p_1); label 0: p_1 a. With a = ln 3, p_1 = 3/4.
    a = torch.tensor(3.0).log()
    logits = torch.stack([torch.zeros(2), a.repeat(2)]).view(1, 2, 1, 1, 2)
    expected = float(-a / 4 * (3 * a / 4))
    assert float(invariance_penalty(logits, torch.tensor([1, 0]).view(1, 1, 1, 2))) == pytest.approx(expected)


def test_it_is_zero_where_the_scale_is_optimal():
    # Three of four voxels are of class 1 and p_1 = 3/4 everywhere: the same in both halves of eight voxels.
    logits = torch.stack([torch.zeros(8), torch.tensor(3.0).log().repeat(8)]).view(1, 2, 2, 2, 2)
    label = torch.tensor([1, 1, 1, 1, 1, 1, 0, 0]).view(1, 2, 2, 2)
    assert float(invariance_penalty(logits, label)) == pytest.approx(0.0, abs=1e-9)
    assert float(invariance_penalty(2 * logits, label)) > 1e-3


def test_the_term_is_the_weighted_mean_over_domains_on_the_finest_output():
    method, batch = make_method(DECLARATION, {"penalty": 50.0}), toy_batch(0)
    ctx = make_context(method)
    ctx.step = STEPS - 1
    logits = ctx.forward(batch.image)[0]
    domains = [by_autograd(logits[batch.domain == index], batch.label[batch.domain == index]) for index in (0, 1)]
    found = method.loss(ctx, batch, method.views(ctx, batch))
    torch.testing.assert_close(found["invariance"], 50.0 * torch.stack(domains).mean(), rtol=1e-3, atol=1e-5)
    assert abs(float((domains[0] - domains[1]).detach())) > 1e-5
    ctx.step = 0
    early = method.loss(ctx, batch, method.views(ctx, batch))
    torch.testing.assert_close(early["invariance"], found["invariance"] / 50.0, rtol=1e-4, atol=1e-7)


class TestIrmKeepsItsWord(MethodConformance):
    declaration = DECLARATION
