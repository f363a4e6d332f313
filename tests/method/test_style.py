"""Styles of feature maps against torch's own instance norm."""

import torch
from torch.nn import functional

from dgsweep.method.style import Style, restyle, spread, style_of


def feature(n=3, channels=2):
    generator = torch.Generator().manual_seed(0)
    scale = torch.arange(1.0, n * channels + 1).view(n, channels, 1, 1, 1)
    return scale * torch.randn(n, channels, 5, 4, 3, generator=generator) + scale


def test_taking_the_style_off_is_torchs_instance_norm():
    x = feature()
    plain = Style(torch.zeros(3, 2, 1, 1, 1), torch.ones(3, 2, 1, 1, 1))
    torch.testing.assert_close(restyle(x, style_of(x), plain), functional.instance_norm(x, eps=1e-6))
    assert not torch.allclose(x, functional.instance_norm(x), atol=1e-2)


def test_the_new_style_is_the_style_of_the_result():
    x = feature()
    wanted = style_of(x.flip(0))
    found = style_of(restyle(x, style_of(x), wanted))
    torch.testing.assert_close(found.mean, wanted.mean, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found.std, wanted.std, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(style_of(x).mean, wanted.mean, atol=1e-2)


def test_one_voxel_constant_maps_and_half_precision_have_a_finite_style():
    for made in (torch.ones(2, 3, 1, 1, 1), torch.zeros(2, 3, 4, 4, 4), feature().bfloat16()):
        x = made.requires_grad_()
        style = style_of(x)
        shown = restyle(x, style, Style(style.mean + spread(style.mean), style.std))
        shown.float().sum().backward()
        assert shown.dtype == x.dtype
        assert torch.isfinite(shown).all()
        assert torch.isfinite(x.grad).all()


def test_the_spread_is_the_deviation_over_the_batch():
    values = torch.tensor([1.0, 3.0]).view(2, 1, 1, 1, 1)
    assert abs(spread(values).item() - 2.0**0.5) < 1e-5
