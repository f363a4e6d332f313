"""CSU against the symmetric square root of the covariance, which the paper draws through."""

import numpy as np
import torch
from scipy.linalg import sqrtm

from dgsweep.method.conformance import MethodConformance, make_context, make_method
from dgsweep.method.style import style_of
from dgsweep_methods.csu import DECLARATION
from dgsweep_methods.csu.method import correlated_noise, perturb_styles


class TestCsuConformance(MethodConformance):
    declaration = DECLARATION


def statistic():
    """Four samples, three channels; the first two rise together."""
    values = torch.tensor([[0.0, 1.0, 5.0], [1.0, 3.0, 4.0], [2.0, 5.0, 5.5], [3.0, 7.0, 4.5]])
    return values.view(4, 3, 1, 1, 1)


def test_the_noise_has_the_covariance_of_the_papers_draw():
    generator = torch.Generator().manual_seed(0)
    values = statistic()
    drawn = torch.cat(
        [correlated_noise(values, torch.randn(4, 4, generator=generator)).flatten(1) for _ in range(5000)]
    )
    covariance = np.cov(values.flatten(1).numpy().T, bias=True)
    root = sqrtm(covariance + 1e-12 * np.eye(3)).real
    found = np.cov(drawn.numpy().T)
    np.testing.assert_allclose(found, root @ root.T, atol=0.15)  # entries up to 5, standard error 0.05
    assert np.abs(found - np.diag(np.diag(covariance))).max() > 1.0  # DSU's noise has no correlations
    np.testing.assert_allclose(drawn.mean(dim=0).numpy(), 0.0, atol=0.06)


def test_channels_that_rise_together_move_together():
    noise = correlated_noise(statistic(), torch.randn(4, 4, generator=torch.Generator().manual_seed(1))).flatten(1)
    torch.testing.assert_close(noise[:, 1], 2 * noise[:, 0], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(noise[:, 2], 2 * noise[:, 0], atol=1e-2)


def test_mean_and_deviation_move_by_strength_times_noise():
    generator = torch.Generator().manual_seed(0)
    x = statistic() + (1 + statistic()) * torch.randn(4, 3, 8, 8, 8, generator=generator)
    noise = 0.3 * torch.randn(2, 4, 4, generator=generator)
    own = style_of(x)
    strength = torch.tensor([0.0, 0.5, 0.5, 1.0])
    shown = style_of(perturb_styles(x, strength, noise))
    scale = strength.view(4, 1, 1, 1, 1)
    torch.testing.assert_close(
        shown.mean, own.mean + scale * correlated_noise(own.mean, noise[0]), rtol=1e-3, atol=1e-3
    )
    expected = (own.std + scale * correlated_noise(own.std, noise[1])).abs()
    torch.testing.assert_close(shown.std, expected, rtol=1e-3, atol=1e-3)
    assert not torch.allclose(shown.mean[3], own.mean[3], atol=1e-2)


def test_identical_samples_have_no_noise():
    same = statistic()[:1].repeat(4, 1, 1, 1, 1)
    assert torch.equal(correlated_noise(same, torch.ones(4, 4)), torch.zeros_like(same))


def test_a_batch_of_one_is_left_as_it_is_and_a_batch_of_two_is_not():
    method = make_method(DECLARATION, {"probability": 1.0})
    x = torch.randn(2, 3, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(method.taps()["enc0"](x[:1], make_context(method)), x[:1])
    assert not torch.equal(method.taps()["enc0"](x, make_context(method)), x)
