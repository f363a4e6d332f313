"""MMD against a loop over all pairs of vectors with DomainBed's kernels."""

import itertools
import math

import pytest
import torch

from dgsweep.method.conformance import MethodConformance, make_context, make_method, toy_batch
from dgsweep_methods.mmd import DECLARATION
from dgsweep_methods.mmd.method import mean_discrepancy


def kernel(x, y) -> float:
    squared = sum((a - b) ** 2 for a, b in zip(x, y, strict=True))
    return sum(math.exp(-(10.0**power) * squared) for power in range(-3, 4))


def mean_kernel(first, second) -> float:
    return sum(kernel(x, y) for x in first for y in second) / (len(first) * len(second))


def by_loop(groups) -> float:
    lists = [group.tolist() for group in groups]
    values = [
        mean_kernel(x, x) + mean_kernel(y, y) - 2 * mean_kernel(x, y) for x, y in itertools.combinations(lists, 2)
    ]
    return sum(values) / len(values)


def groups(sizes, channels: int = 3):
    generator = torch.Generator().manual_seed(0)
    return [0.3 * torch.randn(n, channels, generator=generator) + 0.2 * i for i, n in enumerate(sizes)]


@pytest.mark.parametrize("sizes", [(5, 5), (4, 9, 6), (1, 2)])
def test_the_discrepancy_is_the_loop_over_pairs(sizes):
    drawn = groups(sizes)
    assert float(mean_discrepancy(drawn)) == pytest.approx(by_loop(drawn), rel=1e-4)
    assert by_loop(drawn) > 0.1


def test_two_points_by_hand():
    # k(x, x) = 7 for each, so 14 - 2 k(x, y); at distance 1 the kernels are exp(-0.001), exp(-0.01), ...
    expected = 14 - 2 * sum(math.exp(-(10.0**power)) for power in range(-3, 4))
    assert float(mean_discrepancy([torch.zeros(1, 1), torch.ones(1, 1)])) == pytest.approx(expected, rel=1e-6)


def test_it_sees_what_mean_and_covariance_do_not():
    two_peaks = torch.tensor([[-1.0], [1.0]]).repeat(20, 1)
    three = math.sqrt(2.0) * torch.tensor([[-1.0], [0.0], [0.0], [1.0]]).repeat(10, 1)
    assert float(two_peaks.var() - three.var()) == pytest.approx(0.0, abs=1e-6)
    assert float(mean_discrepancy([two_peaks, three])) > 0.5
    assert float(mean_discrepancy([two_peaks, two_peaks.flip(0)])) == pytest.approx(0.0, abs=1e-5)


def test_the_gradient_is_finite_where_vectors_coincide():
    vectors = torch.ones(4, 2, requires_grad=True)
    mean_discrepancy([vectors[:2], vectors[2:]]).backward()
    assert torch.isfinite(vectors.grad).all()


def test_the_term_compares_the_bottlenecks_voxels_of_the_domains():
    method, batch = make_method(DECLARATION, {"voxels": 64, "penalty": 5.0}), toy_batch(0, n=2)
    ctx = make_context(method)
    ctx.generator.manual_seed(3)
    found = method.loss(ctx, batch, method.views(ctx, batch))
    places = torch.randperm(2048, generator=ctx.generator.manual_seed(3))[:64]
    first, second = ctx.features["bottleneck"].detach().movedim(1, -1).flatten(1, 3)[:, places]
    assert float(found["mmd"].detach()) == pytest.approx(5.0 * float(mean_discrepancy([first, second])), rel=1e-3)
    ctx.run_step(toy_batch(0, n_domains=1))
    assert (set(ctx.losses), ctx.active_steps) == ({"segmentation"}, 0)


class TestMmdKeepsItsWord(MethodConformance):
    declaration = DECLARATION
