"""Shared draws: distribution against scipy, repeatability, who is whose partner."""

import numpy as np
import pytest
import torch
from scipy import stats

from dgsweep.method.sampling import coin, draw_partners, symmetric_beta

EDGES = np.array([0.05, 0.2, 0.5, 0.8, 0.95])


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("alpha", [0.1, 0.5, 2.0])
def test_beta_draws_follow_scipys_beta_distribution_and_no_other(alpha):
    drawn = symmetric_beta(alpha, 4000, stream())
    below = np.array([float((drawn < edge).float().mean()) for edge in EDGES])
    np.testing.assert_allclose(below, stats.beta(alpha, alpha).cdf(EDGES), atol=0.025)  # three standard errors
    assert np.abs(below - stats.beta(2 * alpha, 2 * alpha).cdf(EDGES)).max() > 0.05


def test_equal_streams_draw_equally_and_the_stream_moves_on():
    generator = stream()
    first = symmetric_beta(0.3, 5, generator)
    assert torch.equal(first, symmetric_beta(0.3, 5, stream()))
    assert not torch.equal(first, symmetric_beta(0.3, 5, generator))


def test_a_coin_of_probability_0_never_falls_and_of_1_always():
    generator = stream()
    assert not any(coin(0.0, generator) for _ in range(50))
    assert all(coin(1.0, generator) for _ in range(50))
    assert 30 < sum(coin(0.5, generator) for _ in range(100)) < 70


def test_nobody_is_its_own_partner_and_all_others_are_alike():
    generator = stream()
    drawn = torch.stack([draw_partners(4, generator) for _ in range(600)])
    assert not (drawn == torch.arange(4)).any()
    counts = torch.bincount(drawn[:, 0], minlength=4)
    assert counts[0] == 0
    assert counts[1:].min() > 150  # 200 expected, standard deviation 12


def test_a_partner_is_of_another_domain_where_there_is_one():
    generator = stream()
    domain = torch.tensor([0, 0, 1, 0])
    drawn = torch.stack([draw_partners(4, generator, domain) for _ in range(100)])
    assert (drawn[:, [0, 1, 3]] == 2).all()
    assert set(drawn[:, 2].tolist()) == {0, 1, 3}
    alone = torch.stack([draw_partners(3, generator, torch.zeros(3)) for _ in range(50)])
    assert not (alone == torch.arange(3)).any()
    assert draw_partners(1, generator).tolist() == [0]
