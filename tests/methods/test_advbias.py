"""Bias fields against scipy's splines and filters, and the attack against random fields."""

import numpy as np
import pytest
import torch
from scipy import interpolate, ndimage

from dgsweep.method.base import Method
from dgsweep.method.conformance import MethodConformance, make_context, make_method, trained
from dgsweep.method.toy import toy_batch
from dgsweep_methods.advbias import DECLARATION
from dgsweep_methods.advbias.method import apply_bias, bias_field, contour_distance, control_grid, spline_basis


class TestAdvBiasConformance(MethodConformance):
    declaration = DECLARATION


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("spacing", [0.25, 0.4, 0.5, 1.0])
def test_the_basis_is_scipys_cubic_spline_with_uniform_knots(spacing):
    n, size = control_grid(spacing), 24
    basis = spline_basis(size, spacing).numpy()
    assert basis.shape == (size, n)
    knots = np.arange(n + 4) - 3.0  # control point k peaks at knot k + 2, which lies at cell k - 1
    places = (np.arange(size) + 0.5) / size / spacing
    expected = interpolate.BSpline(knots, np.eye(n), 3)(places)
    np.testing.assert_allclose(basis, expected, atol=1e-5)
    np.testing.assert_allclose(basis.sum(axis=1), 1.0, atol=1e-5)


def test_equal_points_give_their_exponential_everywhere_and_the_clamp_holds():
    points = torch.full((2, 1, 5, 5, 5), 0.1)
    field = bias_field(points, (8, 6, 4), 0.5, 0.3)
    torch.testing.assert_close(field, torch.full((2, 1, 8, 6, 4), float(np.exp(0.1))))
    wild = bias_field(20 * torch.randn(2, 1, 5, 5, 5, generator=stream()), (8, 6, 4), 0.5, 0.3)
    torch.testing.assert_close(torch.stack([wild.min(), wild.max()]), torch.tensor([0.7, 1.3]))


def test_each_axis_has_its_own_points():
    for axis in range(3):
        points = torch.zeros(1, 1, 5, 5, 5)
        points.select(2 + axis, 4).fill_(0.3)
        field = bias_field(points, (8, 6, 4), 0.5, 0.9)[0, 0]
        varies = [bool((field.diff(dim=along) > 1e-4).any()) for along in range(3)]
        assert varies == [along == axis for along in range(3)]


def test_the_darkest_voxel_stays_and_a_field_of_one_changes_nothing():
    image = torch.randn(2, 2, 8, 6, 4, generator=stream())
    torch.testing.assert_close(apply_bias(image, torch.ones(2, 1, 8, 6, 4)), image)
    shown = apply_bias(image, torch.full((2, 1, 8, 6, 4), 1.2))
    torch.testing.assert_close(shown.amin(dim=(2, 3, 4)), image.amin(dim=(2, 3, 4)))
    span = image.amax(dim=(2, 3, 4)) - image.amin(dim=(2, 3, 4))
    torch.testing.assert_close(shown.amax(dim=(2, 3, 4)) - shown.amin(dim=(2, 3, 4)), 1.2 * span)


def test_the_contour_term_is_scipys_sobel_filter():
    first, second = (torch.randn(2, 3, 7, 6, 5, generator=stream(seed)) for seed in (0, 1))
    apart = (second.softmax(dim=1) - first.softmax(dim=1))[:, 1:].double().numpy()
    squares = [
        (ndimage.sobel(apart[b, k], axis=axis, mode="constant") / 4) ** 2
        for b in range(2)
        for k in range(2)
        for axis in range(3)
    ]
    assert abs(contour_distance(first, second).item() - np.mean(squares)) < 1e-5
    assert contour_distance(first, first).item() == 0.0


def distance(values, seed=0):
    """The consistency term on a network trained with ERM."""
    ctx, method, batch = trained(Method(), steps=30), make_method(DECLARATION, values), toy_batch(0)
    ctx.generator.manual_seed(seed)
    terms = method.loss(ctx, batch, method.views(ctx, batch))
    return float(terms["consistency"].detach()) / method.weight


def test_the_ascent_finds_a_worse_field_than_the_random_one_it_starts_from():
    start = distance({"step_size": 0.0})
    assert distance({}) > 1.2 * start
    assert distance({"epsilon": 0.0}) < 1e-6 < start


@pytest.mark.parametrize("steps", [1, 2])
def test_a_step_costs_two_forward_passes_and_one_for_each_ascent(steps):
    ctx = make_context(make_method(DECLARATION, {"steps": steps}))
    batch = toy_batch(0)
    expected = ctx.seg_loss(make_context(Method()).forward(batch.image), batch.label)
    ctx.run_step(batch)
    assert ctx.forward_passes == 2 + steps
    torch.testing.assert_close(ctx.losses["segmentation"], expected)
    assert ctx.losses["consistency"] > 0
