"""DANN: the discriminator descends, the features ascend, as in two separate steps written out."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from dgsweep.method.conformance import STEPS, MethodConformance, make_context, make_method, toy_batch
from dgsweep_methods.dann import DECLARATION
from dgsweep_methods.dann.method import domain_loss, reverse_gradient


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_reversal_keeps_the_value_and_turns_the_gradient():
    value = drawn(5, 3).requires_grad_()
    passed = reverse_gradient(value, 0.7)
    assert torch.equal(passed, value)
    (3.0 * passed).sum().backward()
    torch.testing.assert_close(value.grad, torch.full((5, 3), -0.7 * 3.0))


@pytest.mark.parametrize("weight", [0.0, 5.0])
def test_loss_and_gradient_penalty_are_domainbeds_for_a_linear_discriminator(weight):
    discriminator, vectors, domain = nn.Linear(3, 2), drawn(6, 3).requires_grad_(), torch.tensor([0, 1] * 3)
    nn.init.normal_(discriminator.weight, generator=torch.Generator().manual_seed(1))
    logits = vectors @ discriminator.weight.T + discriminator.bias
    # The gradient of one vector's cross-entropy by the vector is W^T (p - onehot).
    by_vector = (logits.softmax(1) - functional.one_hot(domain, 2)) @ discriminator.weight
    expected = functional.cross_entropy(logits, domain) + weight * by_vector.square().sum(1).mean()
    found = domain_loss(discriminator, vectors, domain, weight)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(*(torch.autograd.grad(value, discriminator.weight)[0] for value in (found, expected)))


def gradients(step: int, penalty: float, fraction: float):
    """Gradients of the stem by the domain term, and by the plain discriminator loss without reversal."""
    method, batch = make_method(DECLARATION, {"penalty": penalty, "voxels": 4096}), toy_batch(0)
    ctx = make_context(method)
    ctx.step = step
    found = method.loss(ctx, batch, method.views(ctx, batch))["domain"]
    vectors = ctx.features["bottleneck"].movedim(1, -1)
    domain = batch.domain.view(-1, 1, 1, 1).expand(vectors.shape[:-1])
    plain = functional.cross_entropy(ctx.modules["discriminator"](vectors).flatten(0, 3), domain.flatten())
    torch.testing.assert_close(found, plain)
    weights = [ctx.network.stem.weight, ctx.modules["discriminator"][0].weight]
    reversed_, straight = (torch.autograd.grad(value, weights, retain_graph=True) for value in (found, plain))
    torch.testing.assert_close(reversed_[0], -penalty * fraction * straight[0], rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(reversed_[1], straight[1])
    return straight[0]


@pytest.mark.parametrize("step", [0, 1, STEPS - 1])
def test_features_get_the_reversed_gradient_at_ganins_weight_and_the_discriminator_its_own(step):
    progress = step / STEPS
    straight = gradients(step, 3.0, 2 / (1 + math.exp(-10 * progress)) - 1)
    assert straight.abs().max() > 1e-4


def test_a_discriminator_alone_learns_the_domain_and_is_held_back_by_the_features():
    final = []
    for penalty in (1e-6, 30.0):
        ctx = make_context(make_method(DECLARATION, {"penalty": penalty, "voxels": 64, "width": 32}))
        for _ in range(12):
            ctx.run_step(toy_batch(0))
        final.append(float(ctx.losses["domain"].detach()))
    assert final[0] < final[1]


def test_the_discriminator_is_kept_in_the_checkpoint_and_trained():
    ctx = make_context(make_method(DECLARATION, {"width": 16}), n_domains=3)
    saved = ctx.state_dict()["modules"]
    assert saved["discriminator.4.weight"].shape == (3, 16)
    before = saved["discriminator.0.weight"].clone()
    ctx.run_step(toy_batch(0))
    assert not torch.equal(before, ctx.modules["discriminator"][0].weight)


class TestDannKeepsItsWord(MethodConformance):
    declaration = DECLARATION
