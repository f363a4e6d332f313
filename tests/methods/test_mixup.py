"""Mixup against its formula on small numbers and a network without surprises."""

import pytest
import torch
from scipy import stats

from dgsweep.method.base import Batch
from dgsweep.method.conformance import MethodConformance, make_context, make_method, toy_batch
from dgsweep.method.losses import supervised_loss
from dgsweep_methods.mixup import DECLARATION


class TestMixupKeepsItsWord(MethodConformance):
    declaration = DECLARATION


def two_views(batch, seed=0, **values):
    method = make_method(DECLARATION, values)
    ctx = make_context(method, seed=seed)
    return method, ctx, method.views(ctx, batch)


def test_the_weight_is_beta_distributed():
    batch = toy_batch(0, n=2)
    for alpha in (0.2, 2.0):
        drawn = [two_views(batch, seed, alpha=alpha)[2][0].weight for seed in range(300)]
        assert stats.kstest(drawn, stats.beta(alpha, alpha).cdf).pvalue > 0.01
        assert stats.kstest(drawn, stats.beta(3 * alpha, 3 * alpha).cdf).pvalue < 1e-4


def test_both_samples_of_a_pair_are_averaged_with_mirrored_weights():
    batch = toy_batch(0, n=2)
    _, _, (own, partner) = two_views(batch)
    weight, first, second = own.weight, batch.image[0], batch.image[1]
    assert 0 < weight < 1
    assert partner.weight == pytest.approx(1 - weight)
    torch.testing.assert_close(own.image[0], weight * first + (1 - weight) * second)
    torch.testing.assert_close(own.image[1], weight * second + (1 - weight) * first)
    assert torch.equal(own.label, batch.label)
    assert torch.equal(partner.label, batch.label.flip(0))
    assert partner.image is own.image


def test_the_loss_is_the_weighted_sum_over_both_labels_with_one_forward_pass():
    batch = toy_batch(0, n=2)
    method, ctx, views = two_views(batch)
    seen = []
    confident = 4.0 * torch.stack([1 - batch.label, batch.label], dim=1).float()  # says each sample's own label

    def forward(image):
        seen.append(image)
        return [confident]

    ctx.forward = forward
    loss = method.loss(ctx, batch, views)["segmentation"]
    assert len(seen) == 1
    assert seen[0] is views[0].image
    own, partner = (supervised_loss([confident], label) for label in (batch.label, batch.label.flip(0)))
    weight = views[0].weight
    torch.testing.assert_close(loss, weight * own + (1 - weight) * partner)
    assert abs(float(loss - (weight * partner + (1 - weight) * own))) > 1e-2


def test_a_sample_is_mixed_with_another_domain_only():
    batch = toy_batch(0, n=6, n_domains=3)
    for seed in range(10):
        _, _, (own, partner) = two_views(batch, seed)
        other = (own.image - own.weight * batch.image) / (1 - own.weight)
        distance = (other[:, None] - batch.image[None]).abs().amax(dim=(2, 3, 4, 5))
        drawn = distance.argmin(dim=1)
        assert bool((batch.domain[drawn] != batch.domain).all())
        assert torch.equal(partner.label, batch.label[drawn])


def test_a_batch_of_one_domain_is_shown_as_it_is_and_is_not_counted_as_active():
    batch = toy_batch(0, n_domains=1)
    _, ctx, (view,) = two_views(batch)
    assert view.image is batch.image
    ctx.run_step(batch)
    assert ctx.active_steps == 0
    ctx.run_step(toy_batch(0))
    assert ctx.active_steps == 1


def test_the_only_sample_of_the_only_other_domain_is_everybodys_partner():
    batch = toy_batch(0, n=3)
    batch = Batch(image=batch.image, label=batch.label, domain=torch.tensor([5, 5, 2]), case_ids=batch.case_ids)
    _, _, (_, partner) = two_views(batch)
    assert torch.equal(partner.label[:2], batch.label[[2, 2]])


def test_probability_is_the_share_of_steps_with_mixing():
    mixed = sum(len(two_views(toy_batch(0), seed, probability=0.5)[2]) == 2 for seed in range(100))
    # 100 steps at one half: 50 expected, deviation 5.
    assert 30 <= mixed <= 70
