"""Divergence against torch's own distributions."""

import torch
from torch.distributions import Categorical
from torch.distributions import kl_divergence as torchs_kl

from dgsweep.method.consistency import kl_divergence, rms_normalised


def logits(seed):
    return 2 * torch.randn(2, 3, 4, 5, 6, generator=torch.Generator().manual_seed(seed))


def test_the_divergence_is_torchs_between_categorical_distributions():
    first, second = logits(0), logits(1)
    expected = torchs_kl(Categorical(logits=first.movedim(1, -1)), Categorical(logits=second.movedim(1, -1))).mean()
    torch.testing.assert_close(kl_divergence(first, second), expected)
    assert abs(kl_divergence(second, first) - expected) > 1e-2


def test_it_is_zero_for_equal_predictions_and_finite_for_extreme_ones():
    first = logits(0)
    assert abs(kl_divergence(first, first + 3.0)) < 1e-6
    assert torch.isfinite(kl_divergence(1e4 * first, -1e4 * first))


def test_every_sample_gets_a_root_mean_square_of_one_and_zeros_stay():
    values = torch.stack([torch.zeros(3, 4), 1e-12 * torch.ones(3, 4), 5 * torch.randn(3, 4)])
    size = rms_normalised(values).flatten(1).square().mean(dim=1).sqrt()
    torch.testing.assert_close(size, torch.tensor([0.0, 1.0, 1.0]))
