"""SLAug: quantiles against NumPy, saliency and the two-term loss against autograd by hand."""

import numpy as np
import pytest
import torch

from dgsweep.method.base import Batch
from dgsweep.method.conformance import MethodConformance, make_context, make_method, toy_batch
from dgsweep_methods.slaug import DECLARATION
from dgsweep_methods.slaug.method import quantiles, remap, saliency


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_masked_quantiles_are_numpys():
    value, mask = torch.rand(3, 101, generator=stream()), torch.rand(3, 101, generator=stream(1)) < 0.4
    mask[2] = False
    ours = quantiles(value, mask, (0.2, 0.8))
    for row in range(2):
        expected = np.percentile(value[row][mask[row]].numpy(), [20, 80])
        np.testing.assert_allclose(ours[row].numpy(), expected, atol=1e-6)
        assert not np.allclose(ours[row].numpy(), np.percentile(value[row].numpy(), [20, 80]), atol=1e-4)
    assert not ours[2].any()


def test_most_of_a_remapped_region_stays_inside_of_the_range_however_large_the_shift():
    unit = torch.rand(20, 400, generator=stream())
    mask = unit < 0.5
    for location, least in ((100.0, 0.15), (0.0, 0.9)):
        mapped = remap(unit, mask, torch.zeros(20, dtype=torch.bool), location, 0.0, stream(1))
        inside = (mapped > 0) & (mapped < 1) & mask
        share = inside.sum(1) / mask.sum(1)
        assert float(share.min()) > least
        assert bool((mapped >= 0).all())
        assert bool((mapped <= 1).all())


def test_saliency_is_one_where_the_gradient_is_largest_and_zero_where_it_is_least():
    gradient = torch.zeros(2, 2, 18, 18, 18)
    gradient[0, :, 12:, 12:, 12:] = -3.0
    gradient[1, 0, :6] = 1.0
    share = saliency(gradient, 3)
    assert share.shape == (2, 1, 18, 18, 18)
    assert float(share[0, 0, -1, -1, -1]) == pytest.approx(1, abs=1e-5)
    assert float(share[0, 0, 0, 0, 0]) == pytest.approx(0, abs=1e-5)
    assert float(share[1, 0, 0].min()) > 0.99
    assert float(share[1, 0, -1].max()) < 0.01
    assert not saliency(torch.zeros(1, 1, 6, 6, 6), 3).any()


def squares() -> Batch:
    """Background a ramp, structure 1 and structure 2 with values of their own; the third sample lacks structure 2."""
    image = torch.linspace(0, 1, 16).view(1, 1, 16, 1, 1).repeat(3, 1, 1, 8, 8)
    label = torch.zeros(3, 16, 8, 8, dtype=torch.long)
    label[:, 4:8], label[:2, 10:14] = 1, 2
    image = image + label[:, None] * 2.0
    return Batch(image=image, label=label, domain=torch.zeros(3).long(), case_ids=("a", "b", "c"))


def local_view(p_invert: float, seed: int = 0) -> tuple[Batch, torch.Tensor, torch.Tensor]:
    method = make_method(DECLARATION, {"p_invert": p_invert, "location": 0.0, "scale": 0.0})
    ctx, batch = make_context(method, seed=seed), squares()
    whole, local = method.views(ctx, batch)
    return batch, whole.image, local.image


@pytest.mark.parametrize(("p_invert", "sign"), [(0.0, 1), (1.0, -1)])
def test_the_background_always_falls_and_structures_fall_with_the_probability(p_invert, sign):
    batch, whole, local = local_view(p_invert)
    for sample in range(3):
        for index, direction in ((0, -1), (1, sign), (2, sign)):
            region = batch.label[sample] == index
            old, new = batch.image[sample, 0][region], local[sample, 0][region]
            if len(old):
                trend = float(((old - old.mean()) * (new - new.mean())).sum())
                assert trend * direction > 0
    for sample in range(3):
        order = batch.image[sample].flatten().argsort()
        assert bool((whole[sample].flatten()[order].diff() >= -1e-5).all())


def test_the_darkest_voxels_keep_their_value_in_the_local_view():
    batch, _, local = local_view(0.5)
    darkest = batch.image <= batch.image.amin((1, 2, 3, 4), keepdim=True) + 1e-6
    torch.testing.assert_close(local[darkest], batch.image[darkest], rtol=0, atol=1e-5)
    assert not torch.allclose(local, batch.image, atol=0.1)


def test_both_views_stay_in_the_range_of_the_image():
    method = make_method(DECLARATION)
    batch = squares()
    for view in method.views(make_context(method), batch):
        assert bool((view.image.amin((1, 2, 3, 4)) >= batch.image.amin((1, 2, 3, 4)) - 1e-5).all())
        assert bool((view.image.amax((1, 2, 3, 4)) <= batch.image.amax((1, 2, 3, 4)) + 1e-5).all())


def test_the_two_terms_are_the_released_codes_two_backward_passes():
    method = make_method(DECLARATION)
    ctx, batch = make_context(method), toy_batch(0)
    views = method.views(ctx, batch)
    ctx.zero_grad()
    torch.stack(list(method.loss(ctx, batch, views).values())).sum().backward()
    ours = {name: value.grad.clone() for name, value in ctx.network.named_parameters()}
    ctx.zero_grad()
    whole = views[0].image.clone().requires_grad_()
    ctx.seg_loss(ctx.forward(whole), batch.label).backward()
    share = saliency(whole.grad, 3)
    only_first = {name: value.grad.clone() for name, value in ctx.network.named_parameters()}
    ctx.seg_loss(ctx.forward(whole.detach() * share + views[1].image * (1 - share)), batch.label).backward()
    for name, value in ctx.network.named_parameters():
        torch.testing.assert_close(ours[name], value.grad, rtol=1e-3, atol=1e-6)
    assert not torch.allclose(ours["head.weight"], only_first["head.weight"], rtol=1e-2)
    assert ctx.forward_passes == 4


class TestSLAug(MethodConformance):
    declaration = DECLARATION
