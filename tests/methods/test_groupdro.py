"""GroupDRO against DomainBed's update on small numbers; q is one weight a domain, which the CrossPan release lacks."""

import math

import pytest
import torch

from dgsweep.method.base import Batch, Method
from dgsweep.method.conformance import MethodConformance, make_context, make_method, toy_batch
from dgsweep_methods.groupdro import DECLARATION
from dgsweep_methods.groupdro.method import updated_weights


def by_hand(weights, risks, eta):
    """q_e exp(eta L_e), divided by the sum."""
    raw = [weight * math.exp(eta * risk) for weight, risk in zip(weights, risks, strict=True)]
    return [value / sum(raw) for value in raw]


def test_two_updates_are_domainbeds_on_small_numbers():
    log_weights, weights = torch.full((3,), 1 / 3).log(), [1 / 3] * 3
    for risks in ([1.0, 2.0, 0.5], [0.1, 3.0, 0.2]):
        log_weights = updated_weights(log_weights, torch.arange(3), torch.tensor(risks), 0.7)
        weights = by_hand(weights, risks, 0.7)
    assert log_weights.exp().tolist() == pytest.approx(weights, rel=1e-3, abs=1e-6)
    assert weights[1] > 0.8 > 1 / 3


def test_absent_domains_move_by_the_normalisation_only():
    moved = updated_weights(torch.full((3,), 1 / 3).log(), torch.tensor([2]), torch.tensor([1.5]), 0.5).exp()
    assert moved.tolist() == pytest.approx(by_hand([1 / 3] * 3, [0.0, 0.0, 1.5], 0.5), rel=1e-5)


def test_a_weight_never_gets_stuck_at_zero():
    log_weights = torch.full((2,), 0.5).log()
    for _ in range(2000):
        log_weights = updated_weights(log_weights, torch.arange(2), torch.tensor([0.0, 1.0]), 0.1)
    for _ in range(2001):
        log_weights = updated_weights(log_weights, torch.arange(2), torch.tensor([1.0, 0.0]), 0.1)
    assert log_weights.exp()[0] > 0.5


@pytest.mark.parametrize("n_domains", [2, 3])
def test_the_loss_is_the_weighted_sum_of_domain_losses(n_domains):
    method = make_method(DECLARATION, {"eta": 20.0})
    ctx, batch = make_context(method, n_domains=n_domains), toy_batch(0)
    outputs = ctx.forward(batch.image)
    risks = ctx.domain_losses(outputs, batch).detach().tolist()
    weights = by_hand([1 / n_domains] * n_domains, [*risks, 0.0][:n_domains], 20.0)
    found = float(method.loss(ctx, batch, [*method.views(ctx, batch)])["segmentation"].detach())
    expected = n_domains / 2 * sum(weight * risk for weight, risk in zip(weights, risks, strict=False))
    assert found == pytest.approx(expected, rel=1e-4)
    assert ctx.state["log_weights"].exp().tolist() == pytest.approx(weights, rel=1e-3, abs=1e-6)
    assert found != pytest.approx(sum(risks) / 2, rel=5e-4)


def test_at_eta_zero_it_is_erm_up_to_rounding():
    method, batch = make_method(DECLARATION, {"eta": 0.0}), toy_batch(0)
    ctx, erm = make_context(method), make_context(Method())
    ctx.run_step(batch)
    erm.run_step(batch)
    for name, value in ctx.network.state_dict().items():
        torch.testing.assert_close(value, erm.network.state_dict()[name], rtol=1e-4, atol=1e-6)


def test_a_batch_of_one_domain_keeps_the_scale():
    method, batch = make_method(DECLARATION, {"eta": 0.0}), toy_batch(0)
    ctx = make_context(method)
    only = Batch(image=batch.image, label=batch.label, domain=torch.ones(4, dtype=torch.long), case_ids=batch.case_ids)
    found = method.loss(ctx, only, method.views(ctx, only))["segmentation"]
    torch.testing.assert_close(found, ctx.seg_loss(ctx.forward(batch.image), batch.label), rtol=1e-5, atol=0)


class TestGroupDroKeepsItsWord(MethodConformance):
    declaration = DECLARATION
