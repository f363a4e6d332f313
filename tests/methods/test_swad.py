"""SWAD against the paper's algorithm written as a loop, and against the mean of the weights noted step by step."""

import copy

import numpy as np
import pytest
import torch

from dgsweep.method.conformance import MethodConformance, ToyNetwork, make_method, toy_batch
from dgsweep.method.context import Context
from dgsweep.method.recipe import Recipe
from dgsweep_methods.swad import DECLARATION
from dgsweep_methods.swad.method import folded, valley


class TestSwadConformance(MethodConformance):
    declaration = DECLARATION


def algorithm_1(losses, patience, overfit, rate):
    """Cha et al., Algorithm 1, as it is printed: one loop, the start is looked for until there is a limit."""
    start, limit = None, None
    for i in range(len(losses)):
        if limit is None:
            if i >= patience - 1 and losses[i - patience + 1] == min(losses[i - k] for k in range(patience)):
                start = i - patience + 1
                limit = rate / patience * sum(losses[i - k] for k in range(patience))
        elif limit < min(losses[i - k] for k in range(min(overfit, i + 1))):
            return start, i - overfit
    return start, None


@pytest.mark.parametrize("seed", range(60))
def test_the_valley_is_that_of_the_papers_algorithm(seed):
    rng = np.random.default_rng(seed)
    falling = 0.9 * np.exp(-np.arange(25) / 4) + 0.02 * np.arange(25) * rng.random()
    losses = list(np.abs(falling + 0.05 * rng.normal(size=25)))
    patience, overfit = int(rng.integers(1, 5)), int(rng.integers(1, 8))
    rate = 1 + rng.random()
    for seen in range(len(losses) + 1):
        assert valley(losses[:seen], patience, overfit, rate - 1) == algorithm_1(losses[:seen], patience, overfit, rate)


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ([0.9, 0.8, 0.7], (None, None)),
        ([0.9, 0.5, 0.6], (None, None)),
        ([0.9, 0.5, 0.6, 0.55], (1, None)),
        ([0.9, 0.5, 0.6, 0.55, 0.5, 0.9, 0.9], (1, 4)),  # limit 1.3 * 0.55
        ([0.9, 0.5, 0.6, 0.55, 0.5, 0.9, 0.6, 0.9], (1, None)),
    ],
)
def test_the_valley_on_curves_small_enough_to_see(losses, expected):
    assert valley(losses, 3, 2, 0.3) == expected


def test_folding_means_of_unequal_counts_gives_the_mean_of_all():
    values = torch.randn(7, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    mean = folded(values[:3].mean(0), 3, values[3:].mean(0), 4)
    torch.testing.assert_close(mean, values.mean(0))


def flat(ctx):
    return torch.cat([parameter.detach().flatten() for parameter in ctx.network.parameters()])


def run(dices, every=2, resume_at=None, **values):
    """Train with a validation every few steps; the context, and the weights after each step."""
    defaults = {"n_converge": 2, "n_tolerance": 2, "tolerance": 0.3}
    method = make_method(DECLARATION, {**defaults, **values})
    recipe = Recipe(budget_steps=every * (len(dices) + 1), learning_rate=0.05, momentum=0.5, schedule="constant")
    ctx, seen = Context(ToyNetwork(1, 0).train(), method, recipe, n_domains=2), []
    for step in range(recipe.budget_steps):
        if step == resume_at:
            saved, ctx = copy.deepcopy(ctx.state_dict()), Context(ToyNetwork(1, 9), method, recipe, n_domains=2)
            ctx.load_state_dict(saved)
        ctx.run_step(toy_batch(step))
        seen.append(flat(ctx))
        if ctx.step % every == 0 and ctx.step < recipe.budget_steps:
            method.on_eval(ctx, {"all": dices[ctx.step // every - 1]})
    active = ctx.active_steps
    method.finish(ctx)
    method.on_eval(ctx, {"all": 0.0})
    return ctx, torch.stack(seen), active


# 1 - Dice: .9 .5 .6 .5 .9 .9: the valley starts at validation 1, its limit is .715, it ends at validation 3.
ENDING = [0.1, 0.5, 0.4, 0.5, 0.1, 0.1, 0.1]


@pytest.mark.parametrize("resume_at", [None, 3, 5, 8, 11, 13])
def test_the_network_ends_as_the_mean_of_every_step_from_the_start_to_the_end_of_the_valley(resume_at):
    ctx, seen, _ = run(ENDING, resume_at=resume_at)
    torch.testing.assert_close(flat(ctx), seen[2:8].mean(0), rtol=1e-5, atol=1e-6)
    assert not torch.allclose(flat(ctx), seen[2:].mean(0), rtol=1e-5, atol=1e-5)
    assert not torch.allclose(flat(ctx), seen[-1], rtol=1e-5, atol=1e-5)


def test_a_valley_that_is_still_open_ends_with_the_budget():
    ctx, seen, active = run([0.1, 0.5, 0.4, 0.5])
    torch.testing.assert_close(flat(ctx), seen[2:].mean(0), rtol=1e-5, atol=1e-6)
    assert active == 4  # the start is known after the third of five stretches of two steps


@pytest.mark.parametrize("dices", [[0.1, 0.2, 0.3, 0.4], [0.1]])
def test_without_a_valley_the_last_weights_stay_and_nothing_was_active(dices):
    ctx, seen, active = run(dices)
    assert torch.equal(flat(ctx), seen[-1])
    assert active == 0


def test_without_validation_patients_the_last_weights_stay():
    method = make_method(DECLARATION)
    ctx = Context(ToyNetwork(1, 0).train(), method, Recipe(budget_steps=4), n_domains=2)
    for step in range(4):
        ctx.run_step(toy_batch(step))
        method.on_eval(ctx, {})
    before = flat(ctx)
    method.finish(ctx)
    assert torch.equal(flat(ctx), before)


def test_composed_with_another_method_it_touches_only_its_own_state():
    ctx, _, _ = run([0.1, 0.5, 0.4, 0.5])
    ctx.state["other"] = 1
    ctx.method.setup(ctx)
    assert set(ctx.state) == {"other", "swad"}
    ctx.method.finish(ctx)
    assert ctx.state == {"other": 1}


def test_no_more_stretches_are_held_than_the_patience_needs_and_none_after_the_end():
    method = make_method(DECLARATION, {"n_converge": 3, "n_tolerance": 4})
    ctx = Context(ToyNetwork(1, 0).train(), method, Recipe(budget_steps=100), n_domains=2)
    held = []
    for dice in [0.1, 0.2, 0.3, 0.4, 0.5, *[0.5] * 10]:
        ctx.run_step(toy_batch(0))
        method.on_eval(ctx, {"all": dice})
        held.append(len(ctx.state["swad"]["held"]))
    assert max(held) <= 4
    method.finish(ctx)
    assert ctx.state == {}
