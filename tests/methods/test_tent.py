"""Tent's entropy against torch.distributions, its update against Adam on the whole case, and what it leaves alone."""

from dataclasses import dataclass

import pytest
import torch
from torch import nn

from dgsweep.method.base import Method
from dgsweep.method.composition import composed
from dgsweep.method.conformance import MethodConformance, ToyNetwork, make_context, make_method, predicted, toy_batch
from dgsweep.method.context import Context
from dgsweep.method.networks import norm_parameters
from dgsweep.method.recipe import Recipe
from dgsweep_methods.tent import DECLARATION
from dgsweep_methods.tent.method import entropy


class TestTentConformance(MethodConformance):
    declaration = DECLARATION


def random_logits(classes: int = 3) -> torch.Tensor:
    return 3 * torch.randn(2, classes, 5, 4, 3, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("classes", [2, 4])
def test_the_entropy_is_that_of_a_categorical_distribution(classes):
    logits = random_logits(classes)
    expected = torch.distributions.Categorical(logits=logits.movedim(1, -1)).entropy()
    total, voxels = entropy(logits, 0.0)
    torch.testing.assert_close(total, expected.sum())
    assert voxels == 2 * 60
    assert not torch.allclose(entropy(2 * logits, 0.0)[0], total)


def test_only_voxels_that_may_be_foreground_count():
    logits = random_logits()
    foreground = 1 - torch.softmax(logits, dim=1)[:, 0]
    expected = torch.distributions.Categorical(logits=logits.movedim(1, -1)).entropy()[foreground >= 0.5]
    total, voxels = entropy(logits, 0.5)
    torch.testing.assert_close(total, expected.sum())
    assert 0 < voxels == len(expected) < 120


def context(patch=None, **values):
    method = make_method(DECLARATION, {"learning_rate": 0.05, "min_foreground": 0.0, **values})
    return Context(ToyNetwork(1, 0).train(), method, Recipe(budget_steps=4, patch=patch), n_domains=1)


def mean_entropy(ctx, image):
    probability = torch.softmax(ctx.network(image)[0], dim=1)
    return -(probability * probability.log()).sum(dim=1).mean()


def test_the_update_is_adam_on_the_mean_entropy_of_the_case_over_scale_and_shift():
    image, ctx, by_hand = toy_batch(0, n=1).image, context(steps=3), context()
    by_hand.network.eval()
    norm = by_hand.network.norm
    optimizer = torch.optim.Adam([norm.weight, norm.bias], lr=0.05)
    for _ in range(3):
        optimizer.zero_grad()
        mean_entropy(by_hand, image).backward()
        optimizer.step()
    with ctx.adapted(image):
        torch.testing.assert_close(ctx.network.norm.weight, norm.weight, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(ctx.network.norm.bias, norm.bias, rtol=1e-4, atol=1e-5)
        changed = {
            name
            for (name, value), start in zip(ctx.network.named_parameters(), ToyNetwork(1, 0).parameters(), strict=True)
            if not torch.equal(value, start)
        }
        assert changed == {"norm.weight", "norm.bias"}


def test_adaptation_lowers_the_entropy_of_the_case_and_is_undone_after_it():
    image, ctx = toy_batch(0, n=1).image, context(steps=5)
    ctx.network.eval()
    before, weights = mean_entropy(ctx, image), [value.clone() for value in ctx.network.parameters()]
    with ctx.adapted(image):
        assert mean_entropy(ctx, image) < before - 1e-3
    torch.testing.assert_close(mean_entropy(ctx, image), before, rtol=0, atol=0)
    assert all(torch.equal(old, new) for old, new in zip(weights, ctx.network.parameters(), strict=True))


def test_a_case_larger_than_a_patch_is_adapted_tile_by_tile():
    image, calls = toy_batch(0, n=1).image, []
    ctx = context(patch=(8, 16, 8), steps=2)
    ctx.network.register_forward_hook(lambda module, args, output: calls.append(tuple(args[0].shape)))
    with ctx.adapted(image):
        assert calls == [(1, 1, 8, 16, 8)] * 4
    assert ctx.forward_passes == 0


def test_where_nothing_may_be_foreground_the_source_prediction_stays():
    image, plain = toy_batch(0, n=1).image, context(steps=0)
    for ctx in (plain, sure := context(steps=3, min_foreground=0.5)):
        with torch.no_grad():
            ctx.network.head.bias.copy_(torch.tensor([50.0, -50.0]))
    assert torch.equal(predicted(sure, image), predicted(plain, image))
    assert sure.active_cases == 0


@dataclass(kw_only=True)
class Negative(Method):
    """Trains and predicts on the negative."""

    def infer_input(self, ctx, image):
        return -image


def test_composed_with_another_input_it_adapts_on_that_input():
    image = toy_batch(0, n=1).image
    together = composed({"negative": Negative, "tent": lambda **_: context(steps=3).method})()
    ctx = Context(ToyNetwork(1, 0).train(), together, Recipe(budget_steps=4), n_domains=1)
    assert torch.equal(predicted(ctx, image), predicted(context(steps=3), -image))
    assert not torch.equal(predicted(ctx, image), predicted(context(steps=3), image))


def test_training_is_erms_and_cases_are_counted_as_active():
    ctx = make_context(make_method(DECLARATION))
    ctx.run_step(toy_batch(0))
    predicted(ctx)
    assert (ctx.active_steps, ctx.adapted_cases, ctx.active_cases) == (0, 1, 1)


def test_a_network_without_scale_and_shift_is_refused_before_training():
    plain = nn.Sequential(nn.Conv3d(1, 2, 1), nn.InstanceNorm3d(2))
    assert norm_parameters(plain) == []
    with pytest.raises(ValueError, match="needs norm layers with scale and shift"):
        Context(plain, make_method(DECLARATION), Recipe(budget_steps=1), n_domains=1)
