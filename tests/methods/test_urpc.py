"""Pyramid consistency: the formula voxel by voxel against torch's divergence, and what the pyramid is made of."""

from dataclasses import replace

import pytest
import torch
from torch.distributions import Categorical, kl_divergence

from dgsweep.method.conformance import MethodConformance, advance, make_context, make_method
from dgsweep.method.toy import toy_batch, toy_unlabelled
from dgsweep_methods.urpc import DECLARATION
from dgsweep_methods.urpc.method import pyramid, rectified_consistency


def context(**hp: float):
    return make_context(make_method(DECLARATION, hp))


def logits(seed: int, *shape: int) -> torch.Tensor:
    return 2 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_the_consistency_is_the_published_sum_with_torchs_divergence():
    likely = torch.log_softmax(logits(0, 3, 2, 4, 5, 4, 3), dim=2)
    own = likely.exp().movedim(2, -1)
    mean = own.mean(0)
    terms, unrectified = [], []
    for scale in own:
        divergence = kl_divergence(Categorical(probs=mean), Categorical(probs=scale))
        weight, distance = torch.exp(-divergence), ((scale - mean) ** 2).mean(-1)
        terms.append((weight * distance).sum() / weight.sum() + divergence.mean())
        unrectified.append(distance.mean() + divergence.mean())
    found = float(rectified_consistency(likely))
    assert found == pytest.approx(float(sum(terms)) / 3, rel=1e-5)
    assert found != pytest.approx(float(sum(unrectified)) / 3, rel=1e-3)


def test_scales_that_agree_cost_nothing():
    likely = torch.log_softmax(logits(0, 1, 2, 3, 4, 4, 4), dim=2).expand(3, -1, -1, -1, -1, -1)
    assert float(rectified_consistency(likely)) == pytest.approx(0.0, abs=1e-6)


def test_it_is_finite_where_a_scale_is_sure_of_something_else():
    one, other = torch.tensor([200.0, 0.0]).view(1, 2, 1, 1, 1), torch.tensor([0.0, 200.0]).view(1, 2, 1, 1, 1)
    both = torch.stack([one, other]).requires_grad_()
    rectified_consistency(torch.log_softmax(both, dim=2)).backward()
    assert bool(torch.isfinite(both.grad).all())


def test_the_pyramid_is_made_of_the_outputs_that_are_taught_at_the_finest_size():
    outputs = [logits(level, 2, 3, 16 // 2**level, 16 // 2**level, 8 // 2**level) for level in range(4)]
    found = pyramid(outputs, scales=4)
    assert found.shape == (3, 2, 3, 16, 16, 8)  # the coarsest has weight 0 in the segmentation loss
    torch.testing.assert_close(found[0], torch.log_softmax(outputs[0], 1))
    enlarged = torch.nn.functional.interpolate(outputs[2], size=(16, 16, 8), mode="trilinear")
    torch.testing.assert_close(found[2], torch.log_softmax(enlarged, 1))
    assert pyramid(outputs, scales=2).shape[0] == 2


@pytest.mark.parametrize("size", [(16, 16, 8), (7, 5, 3), (1, 1, 1)])
def test_a_single_output_gets_pooled_versions_of_itself(size):
    alone = logits(0, 2, 3, *size)
    found = pyramid([alone], scales=4)
    assert found.shape == (4, 2, 3, *size)
    torch.testing.assert_close(found[0], torch.log_softmax(alone, 1))
    flat = torch.ones_like(alone) * torch.arange(3.0).view(1, 3, 1, 1, 1)
    assert float(rectified_consistency(pyramid([flat], scales=4))) == pytest.approx(0.0, abs=1e-6)
    if size == (16, 16, 8):
        assert float(rectified_consistency(found)) > 1e-2


def test_the_term_is_the_weighted_consistency_of_the_unlabelled_patches():
    ctx = context(weight=2.0, ramp=0.0)
    batch = replace(toy_batch(5), unlabelled=toy_unlabelled(5))
    terms = ctx.method.loss(ctx, batch, ctx.method.views(ctx, batch))
    own, labelled = (rectified_consistency(pyramid(ctx.network(x.image), 4)) for x in (batch.unlabelled, batch))
    assert float(terms["consistency"].detach()) == pytest.approx(2.0 * float(own.detach()))
    assert float(own.detach()) != pytest.approx(float(labelled.detach()), rel=1e-5)


def test_without_unlabelled_patches_only_the_labelled_loss_is_left():
    ctx = context()
    batch = toy_batch(0)
    assert set(ctx.method.loss(ctx, batch, ctx.method.views(ctx, batch))) == {"segmentation"}
    assert not ctx._active_now


def test_two_forward_passes_a_step_are_counted():
    ctx = context()
    advance(ctx, 2)
    assert ctx.forward_passes == 2 * DECLARATION.forward_passes_per_step == 4


class TestUrpcKeepsItsWord(MethodConformance):
    declaration = DECLARATION
