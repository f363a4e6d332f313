"""GIN + IPA: mask, blends and consistency against torch and hand computations."""

import pytest
import torch
from torch.nn import functional

from dgsweep.method.conformance import MethodConformance, make_context, make_method, toy_batch
from dgsweep_methods.gin_ipa import DECLARATION
from dgsweep_methods.gin_ipa.method import blending_mask, consistency_loss, pseudo_correlate


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(n: int = 2) -> torch.Tensor:
    return torch.randn(n, 1, 24, 20, 16, generator=stream(2))


def test_the_two_blends_are_mirror_images_that_add_up_to_the_two_colourings():
    first, second = images(), images().flip(0) * 3
    mask = blending_mask(first, 4, stream())
    one, two = pseudo_correlate(first, second, mask)
    torch.testing.assert_close(one + two, first + second, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(one - two, (2 * mask - 1) * (first - second), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(one, two, atol=0.1)


def test_where_the_mask_is_one_the_first_blend_is_the_first_colouring():
    first, second = images(), images() + 5
    one, two = pseudo_correlate(first, second, torch.ones(2, 1, 24, 20, 16))
    assert torch.equal(one, first)
    assert torch.equal(two, second)


def test_the_mask_runs_from_zero_to_one_for_each_sample_and_is_smooth():
    mask = blending_mask(images(3), 4, stream())
    assert mask.shape == (3, 1, 24, 20, 16)
    torch.testing.assert_close(mask.amin((1, 2, 3, 4)), torch.zeros(3))
    torch.testing.assert_close(mask.amax((1, 2, 3, 4)), torch.ones(3))
    assert not torch.allclose(mask[0], mask[1], atol=0.1)
    # 24 voxels for 4 control points: one step of a quadratic spline from 0 to 1 takes several voxels.
    assert float(mask.diff(dim=2).abs().max()) < 0.25
    assert float(blending_mask(images(3), 16, stream()).diff(dim=2).abs().max()) > 0.25


def test_consistency_is_torchs_default_kl_loss_towards_the_mean_as_the_released_code_calls_it():
    logits = list(torch.randn(3, 2, 4, 3, 3, 3, generator=stream(1)).unbind())
    middle = sum(torch.softmax(each, dim=1) for each in logits) / 3
    log_all = torch.cat([torch.log_softmax(each, dim=1) for each in logits])
    expected = torch.nn.KLDivLoss(reduction="none")(log_all, middle.repeat(3, 1, 1, 1, 1)).mean()
    torch.testing.assert_close(consistency_loss(logits), expected)
    batch_mean = functional.kl_div(log_all, middle.repeat(3, 1, 1, 1, 1), reduction="batchmean")
    assert not torch.isclose(consistency_loss(logits), batch_mean, rtol=0.1)


def test_consistency_of_two_opposite_predictions_by_hand():
    # p = 0.9, 0.1 and the reverse: the mean is 0.5, KL(mean || p) = 0.5 log(0.5 / 0.9) + 0.5 log(0.5 / 0.1).
    one = torch.log(torch.tensor([0.9, 0.1])).view(1, 2, 1, 1, 1)
    assert float(consistency_loss([one, one.flip(1)])) == pytest.approx(0.510826 / 2, abs=1e-5)
    assert float(consistency_loss([one, one, one])) == pytest.approx(0, abs=1e-6)


def test_its_gradient_is_finite_for_saturated_predictions():
    sure = torch.tensor([200.0, -200.0]).view(1, 2, 1, 1, 1).requires_grad_()
    consistency_loss([sure, -sure, 0 * sure]).backward()
    assert torch.isfinite(sure.grad).all()


def test_the_first_two_views_are_blends_and_the_third_is_a_colouring_at_the_norm_of_the_image():
    method, batch = make_method(DECLARATION), toy_batch(0)
    views = method.views(make_context(method), batch)
    assert len(views) == 3
    norms = [view.image.flatten(1).norm(dim=1) / batch.image.flatten(1).norm(dim=1) for view in views]
    torch.testing.assert_close(norms[2], torch.ones(4), rtol=1e-3, atol=0)
    assert not torch.allclose(norms[0], torch.ones(4), rtol=1e-3)
    assert all(view.label is batch.label for view in views)
    shown = [view.image for view in views]
    assert all(not torch.allclose(shown[i], shown[j], atol=1e-2) for i in range(3) for j in range(i))


def test_only_the_first_view_is_segmented_and_the_other_term_is_weighted():
    method = make_method(DECLARATION, {"consistency": 3.0})
    ctx, batch = make_context(method), toy_batch(0)
    views = method.views(ctx, batch)
    terms = method.loss(ctx, batch, views)
    outputs = [ctx.forward(view.image) for view in views]
    torch.testing.assert_close(terms["segmentation"], ctx.seg_loss(outputs[0], batch.label))
    torch.testing.assert_close(terms["consistency"], 3 * consistency_loss([each[0] for each in outputs]))
    assert not torch.isclose(terms["segmentation"], ctx.seg_loss(outputs[2], batch.label), rtol=1e-4)
    assert float(terms["consistency"].detach()) > 0


class TestGinIpa(MethodConformance):
    declaration = DECLARATION
