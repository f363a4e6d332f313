"""MLDG against a loss whose meta-gradient is known by hand, and against its update by finite differences."""

import pytest
import torch
from torch import nn

from dgsweep.method.base import Batch, View
from dgsweep.method.conformance import MethodConformance, make_context, make_method, toy_batch
from dgsweep_methods.mldg import DECLARATION
from dgsweep_methods.mldg.method import held_out, simulated_step


class TestMldgConformance(MethodConformance):
    declaration = DECLARATION


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("second_order", "expected"), [(True, (1 - 0.1 * 6) * 2 * 5.2), (False, 2 * 5.2)])
def test_the_meta_gradient_of_a_quadratic_is_the_one_by_hand(second_order, expected):
    # F = 3 t^2 at t = 2: F' = 12, t' = 2 - 0.1 * 12 = 0.8. G = (t' + 4.4)^2: dG/dt' = 2 * 5.2, dt'/dt = 1 - 0.1 * 6.
    theta = torch.tensor(2.0, requires_grad=True)
    moved = simulated_step(3 * theta**2, {"t": theta}, 0.1, second_order=second_order)["t"]
    assert moved.item() == pytest.approx(0.8)
    (gradient,) = torch.autograd.grad((moved + 4.4) ** 2, theta)
    assert gradient.item() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("domains", "n_test", "held", "left"),
    [([0, 1], 1, 1, 1), ([0, 1], 2, 1, 1), ([0, 1, 2], 2, 2, 1), ([4, 4, 7, 9], 1, 1, 2), ([3, 3], 2, 0, 1)],
)
def test_domains_are_held_out_whole_and_one_always_stays(domains, n_test, held, left):
    domain = torch.tensor(domains)
    for seed in range(10):
        mask = held_out(domain, n_test, stream(seed))
        assert (len(set(domain[mask].tolist())), len(set(domain[~mask].tolist()))) == (held, left)
        assert not set(domain[mask].tolist()) & set(domain[~mask].tolist())


def test_every_domain_takes_its_turn():
    seen = [int(torch.arange(3)[held_out(torch.arange(3), 1, stream(seed))]) for seed in range(300)]
    assert all(70 <= seen.count(domain) <= 130 for domain in range(3))


class OneWeight(nn.Module):
    """Logits (0, w x): small enough for finite differences."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(0.7, dtype=torch.float64))

    def forward(self, image):
        return [torch.cat([torch.zeros_like(image), self.weight * image], dim=1)]


def objective(method, weight, batch):
    """F + beta G at one weight, with the split that the context draws."""
    ctx = make_context(method)
    ctx.network = OneWeight()
    with torch.no_grad():
        ctx.network.weight.fill_(weight)
    ctx._parallel = ctx.network
    ctx.generator.manual_seed(5)
    terms = method.loss(ctx, batch, method.views(ctx, batch))
    return sum(terms.values()), ctx


def test_the_gradient_of_the_paper_variant_is_that_of_its_objective_and_the_first_order_one_is_not():
    batch = toy_batch(0)
    batch = Batch(image=batch.image.double(), label=batch.label, domain=batch.domain, case_ids=batch.case_ids)
    gradients = {}
    for variant in DECLARATION.variants:
        method = make_method(DECLARATION, {"variant": variant, "inner_lr": 1.0})
        total, ctx = objective(method, 0.7, batch)
        gradients[variant] = torch.autograd.grad(total, ctx.network.weight)[0].item()
    high, low = (objective(method, 0.7 + shift, batch)[0].item() for shift in (1e-2, -1e-2))
    slope = (high - low) / 2e-2
    assert gradients["paper"] == pytest.approx(slope, rel=1e-2)
    assert gradients["first_order"] != pytest.approx(slope, rel=5e-2)


@pytest.mark.parametrize("n_test", [1, 2])
def test_with_two_sources_every_step_is_active_where_domainbeds_default_makes_no_update(n_test):
    method = make_method(DECLARATION, {"n_test": n_test})
    ctx = make_context(method)
    before = [value.clone() for value in ctx.network.parameters()]
    for step in range(2):
        ctx.run_step(toy_batch(step, n=2))
    assert ctx.active_steps == 2
    assert ctx.losses["meta_test"] > 0
    assert any(not torch.equal(old, new) for old, new in zip(before, ctx.network.parameters(), strict=True))


def test_a_batch_of_one_domain_is_a_step_of_erm_and_not_active():
    ctx = make_context(make_method(DECLARATION))
    ctx.run_step(toy_batch(0).subset(torch.tensor([True, False, True, False])))
    assert ctx.active_steps == 0
    assert set(ctx.losses) == {"segmentation"}


def test_it_learns_from_the_images_that_are_shown():
    ctx, batch = make_context(make_method(DECLARATION)), toy_batch(0)
    seen = []
    ctx.network.register_forward_hook(lambda module, args, output: seen.append(args[0]))
    ctx.method.loss(ctx, batch, [View(image=-batch.image, label=batch.label)])
    shown = torch.cat(seen)
    assert len(shown) == 4
    assert all(any(torch.equal(one, -image) for one in shown) for image in batch.image)


def test_beta_weighs_the_held_out_loss_only():
    terms = {}
    for beta in (1.0, 3.0):
        ctx = make_context(make_method(DECLARATION, {"beta": beta}))
        ctx.run_step(toy_batch(0))
        terms[beta] = ctx.losses
    torch.testing.assert_close(terms[3.0]["meta_test"], 3 * terms[1.0]["meta_test"])
    torch.testing.assert_close(terms[3.0]["segmentation"], terms[1.0]["segmentation"])
