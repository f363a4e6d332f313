"""DSU against closed forms."""

import torch

from dgsweep.method.conformance import MethodConformance, make_context, make_method, trained
from dgsweep.method.style import style_of
from dgsweep_methods.dsu import DECLARATION
from dgsweep_methods.dsu.method import perturb_styles


class TestDsuConformance(MethodConformance):
    declaration = DECLARATION


def feature():
    generator = torch.Generator().manual_seed(0)
    scale = torch.tensor([1.0, 2.0, 5.0]).view(3, 1, 1, 1, 1)
    return scale * torch.randn(3, 4, 5, 6, 7, generator=generator) + 10 * scale


def test_noise_of_one_moves_mean_and_deviation_by_their_spread_over_the_batch():
    x = feature()
    noise = torch.zeros(2, 3, 4, 1, 1, 1)
    noise[0, 0], noise[1, 1] = 1.0, 1.0
    own, shown = style_of(x), style_of(perturb_styles(x, noise))
    moved_mean, moved_std = (shown.mean - own.mean).flatten(1), (shown.std - own.std).flatten(1)
    torch.testing.assert_close(moved_mean[0], own.mean.std(dim=0).flatten(), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(moved_std[1], own.std.std(dim=0).flatten(), rtol=1e-3, atol=1e-3)
    for untouched in (moved_mean[1:], moved_std[[0, 2]]):
        torch.testing.assert_close(untouched, torch.zeros_like(untouched), rtol=0, atol=1e-3)


def test_no_noise_returns_the_feature():
    x = feature()
    torch.testing.assert_close(perturb_styles(x, torch.zeros(2, 3, 4, 1, 1, 1)), x, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(perturb_styles(x, torch.ones(2, 3, 4, 1, 1, 1)), x, atol=1.0)


def test_gradients_flow_through_the_statistics():
    x, noise = feature().requires_grad_(), torch.ones(2, 3, 4, 1, 1, 1)
    probe = torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    shown = perturb_styles(x, noise)
    (shown * probe).sum().backward()
    with_fixed_styles = probe * style_of(shown.detach()).std / style_of(x.detach()).std
    assert (x.grad - with_fixed_styles).norm() > 0.01 * with_fixed_styles.norm()


def test_samples_draw_their_own_noise_and_the_factor_scales_it():
    x = torch.cat([feature()[:1], feature()[1:2]]).repeat(2, 1, 1, 1, 1)

    def shift(factor):
        method = make_method(DECLARATION, {"factor": factor, "probability": 1.0})
        shown = method.taps()["enc0"](x, make_context(method))
        return (style_of(shown).mean - style_of(x).mean).flatten(1)

    assert not torch.allclose(shift(1.0)[0], shift(1.0)[2], atol=1e-2)
    torch.testing.assert_close(shift(2.0), 2 * shift(1.0), rtol=1e-3, atol=1e-3)


def test_the_probability_is_the_share_of_steps():
    assert trained(make_method(DECLARATION, {"probability": 1.0})).active_steps == 6
    assert trained(make_method(DECLARATION, {"probability": 0.0})).active_steps == 0


def test_a_batch_of_one_is_left_as_it_is():
    method = make_method(DECLARATION, {"probability": 1.0})
    x = feature()[:1]
    assert method.taps()["enc0"](x, make_context(method)) is x
