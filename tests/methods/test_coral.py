"""CORAL against NumPy's mean and covariance in DomainBed's formula."""

import itertools

import numpy as np
import pytest
import torch

from dgsweep.method.conformance import MethodConformance, make_context, make_method, toy_batch
from dgsweep_methods.coral import DECLARATION
from dgsweep_methods.coral.method import coral_distance


def by_numpy(groups) -> float:
    """Mean over pairs of the mean squared differences of means and of covariances."""
    pairs = list(itertools.combinations([group.numpy() for group in groups], 2))
    total = 0.0
    for x, y in pairs:
        total += np.mean((x.mean(0) - y.mean(0)) ** 2) + np.mean((np.cov(x.T) - np.cov(y.T)) ** 2)
    return total / len(pairs)


def groups(sizes, channels: int = 3):
    generator = torch.Generator().manual_seed(0)
    mix = torch.randn(len(sizes), channels, channels, generator=generator)
    return [torch.randn(n, channels, generator=generator) @ mix[i] + i for i, n in enumerate(sizes)]


@pytest.mark.parametrize("sizes", [(5, 5), (4, 9, 6)])
def test_the_distance_is_domainbeds_in_numpy(sizes):
    drawn = groups(sizes)
    assert float(coral_distance(drawn)) == pytest.approx(by_numpy(drawn), rel=1e-5)
    assert by_numpy(drawn) > 0.1


def test_each_moment_counts_on_its_own():
    base = groups((50,))[0]
    shifted = coral_distance([base, base + torch.tensor([1.0, 2.0, 0.0])])
    assert float(shifted) == pytest.approx((1 + 4) / 3, rel=1e-4)
    centred = base - base.mean(0)
    assert float(coral_distance([centred, -centred])) == pytest.approx(0.0, abs=1e-9)
    doubled = float(coral_distance([centred, 2 * centred]))
    assert doubled == pytest.approx(float(np.mean((3 * np.cov(centred.numpy().T)) ** 2)), rel=1e-4)


def test_the_term_compares_the_bottlenecks_voxels_of_the_domains():
    method, batch = make_method(DECLARATION, {"voxels": 4096, "penalty": 5.0}), toy_batch(0)
    ctx = make_context(method)
    found = method.loss(ctx, batch, method.views(ctx, batch))
    feature = ctx.features["bottleneck"].detach()
    domains = [feature[index::2].movedim(1, -1).reshape(-1, 8) for index in (0, 1)]
    assert float(found["coral"].detach()) == pytest.approx(5.0 * by_numpy(domains), rel=1e-4)
    halves = [feature[:2].movedim(1, -1).reshape(-1, 8), feature[2:].movedim(1, -1).reshape(-1, 8)]
    assert by_numpy(domains) != pytest.approx(by_numpy(halves), rel=1e-2)


def test_a_batch_of_one_domain_is_erm_and_not_counted_as_active():
    ctx = make_context(make_method(DECLARATION))
    ctx.run_step(toy_batch(0, n_domains=1))
    assert (set(ctx.losses), ctx.active_steps) == ({"segmentation"}, 0)


def test_training_with_it_brings_the_domains_nearer():
    distances = []
    for penalty in (0.0, 100.0):
        method = make_method(DECLARATION, {"penalty": penalty, "voxels": 4096})
        ctx = make_context(method)
        for _ in range(5):
            ctx.run_step(toy_batch(0))
        distances.append(
            coral_distance([ctx.features["bottleneck"][i::2].movedim(1, -1).flatten(0, 3) for i in (0, 1)])
        )
    assert distances[1] < 0.9 * distances[0]


class TestCoralKeepsItsWord(MethodConformance):
    declaration = DECLARATION
