"""AdverIN against numpy's interpolation and against its own gradient."""

import numpy as np
import pytest
import torch

from dgsweep.method.base import Method
from dgsweep.method.conformance import MethodConformance, make_context, make_method, trained
from dgsweep.method.toy import toy_batch
from dgsweep_methods.adverin import DECLARATION
from dgsweep_methods.adverin.method import ascend, remap, rising_curve


class TestAdverinConformance(MethodConformance):
    declaration = DECLARATION


def images(n=3, channels=2):
    return 3 * torch.randn(n, channels, 6, 5, 4, generator=torch.Generator().manual_seed(0)) + 1


def logits(scale=1.0, n=3, channels=2, points=7):
    return scale * torch.randn(n, channels, points - 1, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("scale", [0.0, 1.0, 500.0])
def test_curves_rise_from_0_to_1_however_extreme_the_logits(scale):
    curve = rising_curve(logits(scale))
    assert (curve.diff(dim=2) >= 0).all()
    torch.testing.assert_close(curve[..., 0], torch.zeros(3, 2))
    torch.testing.assert_close(curve[..., -1], torch.ones(3, 2))


def test_logits_of_zero_give_the_diagonal_and_the_image_itself():
    curve = rising_curve(torch.zeros(3, 2, 20))
    torch.testing.assert_close(curve, torch.linspace(0, 1, 21).expand(3, 2, 21))
    torch.testing.assert_close(remap(images(), curve), images(), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(remap(images(), rising_curve(logits())), images(), atol=0.1)


def test_the_curve_of_the_released_code_is_the_same():
    # cumsum of a softmax over K logits, rescaled to [0, 1]; its first logit drops out
    full = torch.randn(3, 2, 7, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    raw = torch.softmax(full, dim=2).cumsum(dim=2)
    released = (raw - raw[..., :1]) / (raw[..., -1:] - raw[..., :1])
    torch.testing.assert_close(rising_curve(full[..., 1:]), released)


def test_voxels_are_sent_through_the_curve_as_numpy_interpolates():
    image, curve = images(), rising_curve(logits())
    shown = remap(image, curve)
    for b in range(3):
        for c in range(2):
            x = image[b, c].double().numpy()
            unit = (x - x.min()) / (x.max() - x.min())
            bent = np.interp(unit, np.linspace(0, 1, 7), curve[b, c].double().numpy())
            np.testing.assert_allclose(shown[b, c].numpy(), x.min() + (x.max() - x.min()) * bent, atol=1e-4)


def test_the_brightest_voxel_stays_brightest_and_falls_in_the_shipped_code():
    image, curve = images(1, 1), rising_curve(logits(1.0, 1, 1))
    peak = image.argmax()
    assert remap(image, curve).argmax() == peak
    shipped = remap(image, curve, shipped=True).flatten()
    assert shipped[peak] == shipped.min()
    assert abs((shipped.max() - shipped.min()) / (image.max() - image.min())) < 0.5


def test_a_constant_image_stays_constant():
    flat = torch.full((2, 1, 4, 4, 4), 1.5)
    torch.testing.assert_close(remap(flat, rising_curve(logits(1.0, 2, 1))), flat)


def test_the_step_follows_the_gradient_and_not_its_size():
    probe = torch.tensor([0.3, -0.2, 0.5, 0.1, -0.4, 0.2, 0.0]).expand(3, 2, 7)
    start = torch.zeros(3, 2, 6)
    moved = ascend(start, lambda curve: (curve * probe).sum(), 0.1, 5.0)
    # by hand: softmax of zeros is 1/6; c_k = sum of the first k increments
    unit = probe / (probe.norm(dim=2, keepdim=True) + 1e-4) * 5.0 * 6
    tail = torch.stack([unit[..., k + 1 :].sum(dim=2) for k in range(6)], dim=2)
    expected = 0.1 * (tail - tail.mean(dim=2, keepdim=True)) / 6
    torch.testing.assert_close(moved, expected, rtol=1e-4, atol=1e-5)
    larger = ascend(start, lambda curve: 100 * (curve * probe).sum(), 0.1, 5.0)
    torch.testing.assert_close(larger, moved, rtol=1e-2, atol=1e-3)
    assert not torch.allclose(ascend(start, lambda curve: -(curve * probe).sum(), 0.1, 5.0), moved, atol=1e-2)


def loss_after(values, network_steps=30):
    """Loss of a trained network on the shown batch."""
    ctx = trained(Method(), steps=network_steps)
    method, batch = make_method(DECLARATION, values), toy_batch(0)
    (view,) = method.views(ctx, batch)
    return float(ctx.seg_loss(ctx.forward(view.image), view.label).detach())


def test_the_attack_raises_the_loss_of_a_trained_network_and_more_steps_more():
    plain, attacked = loss_after({"probability": 0.0}), loss_after({})
    assert attacked > plain + 1e-3
    assert loss_after({"steps": 3}) > attacked


def test_the_attack_costs_a_forward_pass_a_step_and_leaves_no_gradient_in_the_network():
    ctx, batch = make_context(make_method(DECLARATION, {"steps": 2})), toy_batch(0)
    (view,) = ctx.method.views(ctx, batch)
    assert ctx.forward_passes == 2
    assert not view.image.requires_grad
    assert all(parameter.grad is None for parameter in ctx.network.parameters())


def test_the_shipped_variant_asks_the_network_nothing():
    method = make_method(DECLARATION, {"variant": "as_shipped"})
    ctx, other = make_context(method), make_context(method)
    with torch.no_grad():
        for parameter in other.network.parameters():
            parameter.add_(1.0)
    shown = [method.views(each, toy_batch(0))[0].image for each in (ctx, other)]
    assert torch.equal(*shown)
    assert ctx.forward_passes == 0
    attack = make_method(DECLARATION)
    assert not torch.equal(attack.views(ctx, toy_batch(0))[0].image, attack.views(other, toy_batch(0))[0].image)
