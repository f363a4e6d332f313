"""EQRM against SciPy's kernel density estimate, its gradient against finite differences."""

import numpy as np
import pytest
import torch
from scipy.stats import gaussian_kde

from dgsweep.method.base import Method
from dgsweep.method.conformance import STEPS, MethodConformance, make_context, make_method, toy_batch
from dgsweep_methods.eqrm import DECLARATION
from dgsweep_methods.eqrm.method import kde_quantile

RISKS = (0.9, 1.7, 1.1, 0.4)


def mass_below(risks, value) -> float:
    """SciPy multiplies the unbiased deviation by the factor, as DomainBed's rule 1.06 s n^(-1/5)."""
    return float(gaussian_kde(risks, bw_method=1.06 * len(risks) ** -0.2).integrate_box_1d(-np.inf, value))


@pytest.mark.parametrize("alpha", [0.05, 0.5, 0.75, 0.99])
@pytest.mark.parametrize("risks", [RISKS, (0.5, 2.0), (1.0, 1.0001)])
def test_alpha_of_scipys_density_lies_below_the_quantile(risks, alpha):
    quantile = float(kde_quantile(torch.tensor(risks, dtype=torch.float64), alpha))
    assert mass_below(risks, quantile) == pytest.approx(alpha, abs=1e-4)
    assert mass_below(risks, quantile + 0.1 * np.std(risks)) > alpha + 1e-4


@pytest.mark.parametrize("alpha", [0.3, 0.75])
def test_the_gradient_is_that_of_finite_differences(alpha):
    risks = torch.tensor(RISKS, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: kde_quantile(x, alpha), risks, eps=1e-5, atol=1e-6)
    (gradient,) = torch.autograd.grad(kde_quantile(risks, alpha), risks)
    assert float(gradient.sum()) == pytest.approx(1.0)  # risks + c: quantile + c
    assert (gradient.abs() > 1e-3).all()  # every domain counts, not the extremes alone


def test_equal_risks_give_that_risk_and_a_finite_gradient():
    risks = torch.full((3,), 0.8, requires_grad=True)
    quantile = kde_quantile(risks, 0.75)
    quantile.backward()
    assert float(quantile.detach()) == pytest.approx(0.8, abs=1e-5)
    torch.testing.assert_close(risks.grad, torch.full((3,), 1 / 3))


def test_a_high_quantile_weights_the_worse_domain_more():
    risks = torch.tensor([0.5, 1.0], requires_grad=True)
    kde_quantile(risks, 0.75).backward()
    assert risks.grad[1] > 2 * risks.grad[0].abs()


def test_after_the_burn_in_the_loss_is_the_quantile_of_domain_losses():
    method, batch = make_method(DECLARATION, {"burn_in": 0.5, "alpha": 0.9}), toy_batch(0)
    ctx = make_context(method)
    early = method.loss(ctx, batch, method.views(ctx, batch))
    erm = make_context(Method())
    torch.testing.assert_close(early["segmentation"], erm.seg_loss(erm.forward(batch.image), batch.label))
    ctx.step = STEPS // 2
    (late,) = method.loss(ctx, batch, method.views(ctx, batch)).values()
    risks = ctx.domain_losses(ctx.forward(batch.image), batch).detach().double().tolist()
    assert mass_below(risks, float(late.detach())) == pytest.approx(0.9, abs=1e-3)


def test_a_batch_of_one_domain_is_erm_and_not_counted_as_active():
    ctx = make_context(make_method(DECLARATION, {"burn_in": 0.0}))
    ctx.run_step(toy_batch(0, n_domains=1))
    assert (set(ctx.losses), ctx.active_steps) == ({"segmentation"}, 0)
    ctx.run_step(toy_batch(0))
    assert (set(ctx.losses), ctx.active_steps) == ({"quantile"}, 1)


class TestEqrmKeepsItsWord(MethodConformance):
    declaration = DECLARATION
