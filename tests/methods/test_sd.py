"""Spectral decoupling: the logits are penalised, not the features."""

import pytest
import torch

from dgsweep.method.conformance import MethodConformance, make_context, make_method, toy_batch
from dgsweep_methods.sd import DECLARATION
from dgsweep_methods.sd.method import mean_square


def test_the_penalty_is_the_mean_square_of_small_numbers():
    logits = torch.tensor([1.0, -2.0, 3.0, 0.0]).view(1, 2, 2, 1, 1)
    assert float(mean_square(logits)) == pytest.approx((1 + 4 + 9) / 4)


def test_its_gradient_pulls_every_logit_towards_zero_in_proportion():
    logits = torch.randn(2, 3, 2, 2, 2, generator=torch.Generator().manual_seed(0)).requires_grad_()
    mean_square(logits).backward()
    torch.testing.assert_close(logits.grad, 2 * logits.detach() / logits.numel())


def test_the_term_is_the_weighted_mean_square_of_the_networks_logits():
    method, batch = make_method(DECLARATION, {"penalty": 0.7}), toy_batch(0)
    ctx = make_context(method)
    logits = ctx.network(batch.image)[0]
    terms = method.loss(ctx, batch, method.views(ctx, batch))
    torch.testing.assert_close(terms["decoupling"], 0.7 * (logits**2).mean())
    torch.testing.assert_close(terms["segmentation"], ctx.seg_loss([logits], batch.label))


def test_as_shipped_penalises_the_bottleneck():
    method, batch = make_method(DECLARATION, {"penalty": 0.7, "variant": "as_shipped"}), toy_batch(0)
    ctx = make_context(method)
    found = method.loss(ctx, batch, method.views(ctx, batch))["decoupling"]
    feature = ctx.network.deep(torch.relu(ctx.network.norm(ctx.network.stem(batch.image))))
    torch.testing.assert_close(found, 0.7 * (feature**2).mean())


def test_training_with_it_ends_in_smaller_logits():
    sizes = []
    for penalty in (0.0, 10.0):
        ctx = make_context(make_method(DECLARATION, {"penalty": penalty}))
        for _ in range(4):
            ctx.run_step(toy_batch(0))
        sizes.append(float((ctx.network(toy_batch(0).image)[0] ** 2).mean().detach()))
    assert sizes[1] < 0.9 * sizes[0]


class TestSpectralDecouplingKeepsItsWord(MethodConformance):
    declaration = DECLARATION
