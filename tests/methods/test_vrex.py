"""VREx against DomainBed's formula on small numbers, and on the losses of domains passed one by one."""

import pytest
import torch

from dgsweep.method.base import Batch, Method
from dgsweep.method.conformance import STEPS, MethodConformance, make_context, make_method, same_weights, toy_batch
from dgsweep.method.losses import segmentation_loss
from dgsweep_methods.vrex import DECLARATION
from dgsweep_methods.vrex.method import risk_variance


def terms_at(step: int, batch: Batch | None = None, **hp: float):
    method = make_method(DECLARATION, hp)
    ctx, batch = make_context(method), batch or toy_batch(0)
    ctx.step = step
    return {name: float(value.detach()) for name, value in method.loss(ctx, batch, method.views(ctx, batch)).items()}


def as_variant(variant: str) -> Method:
    return make_method(DECLARATION, {"variant": variant})


def risks_one_by_one(batch: Batch) -> list[float]:
    network = make_context(make_method(DECLARATION)).network
    parts = [(batch.image[batch.domain == index], batch.label[batch.domain == index]) for index in (0, 1)]
    return [float(segmentation_loss(network(image)[0], label).detach()) for image, label in parts]


def test_the_penalty_is_domainbeds_variance():
    # Risks 1, 2, 6: mean 3, deviations -2, -1, 3, mean square 14/3; the unbiased variance would be 7.
    assert float(risk_variance(torch.tensor([1.0, 2.0, 6.0]))) == pytest.approx(14 / 3)
    assert float(risk_variance(torch.tensor([2.5, 2.5]))) == 0.0


def test_the_term_is_the_weighted_variance_of_the_losses_of_each_domains_samples():
    batch = toy_batch(0)
    first, second = risks_one_by_one(batch)
    found = terms_at(STEPS - 1, batch, penalty=1000.0)
    assert found["variance"] == pytest.approx(1000.0 * ((first - second) / 2) ** 2, rel=1e-3)
    assert found["variance"] > 1e-4
    assert found["segmentation"] == pytest.approx((first + second) / 2, rel=1e-5)
    pairs = Batch(image=batch.image, label=batch.label, domain=torch.tensor([0, 0, 1, 1]), case_ids=batch.case_ids)
    assert found["variance"] != pytest.approx(terms_at(STEPS - 1, pairs, penalty=1000.0)["variance"], rel=1e-2)


def test_the_weight_is_at_most_one_before_annealing_and_the_penalty_after():
    before, after = terms_at(0, anneal=0.5, penalty=10.0), terms_at(STEPS - 1, anneal=0.5, penalty=10.0)
    assert after["variance"] == pytest.approx(10 * before["variance"], rel=1e-4)
    assert terms_at(0, anneal=0.5, penalty=0.5)["variance"] == pytest.approx(before["variance"] / 2, rel=1e-4)


def test_a_batch_of_one_domain_is_erm_and_not_counted_as_active():
    batch = toy_batch(0, n_domains=1)
    method = make_method(DECLARATION)
    ctx = make_context(method)
    assert set(method.loss(ctx, batch, method.views(ctx, batch))) == {"segmentation"}
    ctx.run_step(batch)
    assert ctx.active_steps == 0


def test_as_shipped_with_a_batch_of_two_is_erm_and_the_papers_is_not():
    erm, shipped, paper = (make_context(method) for method in (Method(), as_variant("as_shipped"), as_variant("paper")))
    for ctx in (erm, shipped, paper):
        ctx.run_step(toy_batch(0, n=2))
    assert same_weights(erm, shipped)
    assert shipped.active_steps == 0
    assert not same_weights(erm, paper)


def test_as_shipped_compares_pairs_of_neighbours_whatever_their_domains():
    method, batch = as_variant("as_shipped"), toy_batch(0)
    ctx = make_context(method)
    ctx.step = STEPS - 1
    outputs = ctx.forward(batch.image)[0]
    first, second = (segmentation_loss(outputs[own], batch.label[own]) for own in (slice(0, 2), slice(2, 4)))
    found = method.loss(ctx, batch, method.views(ctx, batch))["variance"]
    torch.testing.assert_close(found, 10.0 * ((first - second) / 2) ** 2, rtol=1e-2, atol=1e-8)


class TestVRexKeepsItsWord(MethodConformance):
    declaration = DECLARATION
