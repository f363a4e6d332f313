"""Fishr's closed form against gradients of single voxels by autograd, and its average against DomainBed's."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from dgsweep.method.base import Batch
from dgsweep.method.conformance import STEPS, MethodConformance, make_context, make_method, toy_batch
from dgsweep_methods.fishr import DECLARATION
from dgsweep_methods.fishr.method import gradient_variance


def by_autograd(feature, head: nn.Conv3d, label):
    """Each voxel's cross-entropy on its own, its gradient by weight and bias, and the population variance of these."""
    logits = head(feature)
    losses = functional.cross_entropy(logits, label, reduction="none").flatten()
    rows = []
    for loss in losses:
        weight, bias = torch.autograd.grad(loss, [head.weight, head.bias], retain_graph=True)
        rows.append(torch.cat([weight.flatten(1), bias[:, None]], dim=1).flatten())
    gradients = torch.stack(rows)
    return (gradients - gradients.mean(0)).square().mean(0)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_variance_is_that_of_single_voxels_gradients(n_classes):
    generator = torch.Generator().manual_seed(n_classes)
    feature, head = torch.randn(2, 4, 3, 2, 2, generator=generator), nn.Conv3d(4, n_classes, 1)
    nn.init.normal_(head.weight, generator=generator)
    label = torch.randint(n_classes, (2, 3, 2, 2), generator=generator)
    found = gradient_variance(feature, head(feature), label)
    torch.testing.assert_close(found, by_autograd(feature, head, label), rtol=1e-4, atol=1e-6)
    assert not torch.allclose(found, by_autograd(feature, head, label.flip(0)), rtol=1e-2)


def domain_variances(ctx, batch):
    """The same from the toy network's own head, domain by domain."""
    network = ctx.network
    found = []
    for part in ctx.domains_in(batch):
        feature = network.taps["decoded"](network.deep(torch.relu(network.norm(network.stem(part.image)))))
        found.append(gradient_variance(feature, network.head(feature), part.label))
    return torch.stack(found)


def test_the_penalty_is_domainbeds_with_its_moving_average():
    method = make_method(DECLARATION, {"decay": 0.9, "penalty": 7.0})
    ctx = make_context(method)
    ctx.step = STEPS - 1
    averages = torch.zeros(2, 2 * 9)
    for seed in (0, 1, 2):
        batch = toy_batch(seed)
        found = method.loss(ctx, batch, method.views(ctx, batch))["fishr"]
        averages = 0.9 * averages + 0.1 * domain_variances(ctx, batch)
        corrected = averages / 0.1
        distances = [(row - corrected.mean(0)).square().mean() for row in corrected]
        torch.testing.assert_close(found, 7.0 * torch.stack(distances).mean(), rtol=1e-3, atol=1e-9)
        averages = averages.detach()
    assert float(found.detach()) > 0
    torch.testing.assert_close(ctx.state["variances"], averages, rtol=1e-4, atol=1e-7)


def test_the_gradient_of_the_penalty_has_the_same_size_at_any_decay():
    sizes = []
    for decay in (0.0, 0.9):
        method, batch = make_method(DECLARATION, {"decay": decay}), toy_batch(0)
        ctx = make_context(method)
        ctx.step = STEPS - 1
        method.loss(ctx, batch, method.views(ctx, batch))["fishr"].backward()
        sizes.append(ctx.network.stem.weight.grad.norm())
    torch.testing.assert_close(*sizes)
    assert sizes[0] > 0


def test_before_annealing_only_the_averages_move():
    method, batch = make_method(DECLARATION, {"anneal": 0.5}), toy_batch(0)
    ctx = make_context(method)
    assert set(method.loss(ctx, batch, method.views(ctx, batch))) == {"segmentation"}
    assert ctx.state["variances"].any()


def test_a_batch_of_one_domain_is_erm_and_moves_that_domains_average_only():
    method, batch = make_method(DECLARATION), toy_batch(0)
    ctx = make_context(method)
    ctx.step = STEPS - 1
    only = Batch(image=batch.image, label=batch.label, domain=torch.ones(4, dtype=torch.long), case_ids=batch.case_ids)
    assert set(method.loss(ctx, only, method.views(ctx, only))) == {"segmentation"}
    assert not ctx.state["variances"][0].any()
    assert ctx.state["variances"][1].any()


class TestFishrKeepsItsWord(MethodConformance):
    declaration = DECLARATION
