"""Corruption: shuffles that stay in their cubes, draws that are one for each, curves against NumPy."""

import math

import numpy as np
import pytest
import torch
from scipy.special import comb

from dgsweep.method.corruption import bezier, cube_draws, shuffled

SIDES = (4, 8, 2)


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise_image(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=stream(9))


def test_shuffling_keeps_the_values_of_each_cube_and_moves_them():
    image = noise_image(2, 1, 8, 8, 2)
    found = shuffled(image, SIDES, stream())
    for start in (0, 4):
        own, other = (value[:, :, start : start + 4].flatten(1).sort().values for value in (image, found))
        assert torch.equal(own, other)
    assert not torch.equal(found, image)
    assert not torch.equal(found[:, :, :4, :4].flatten(1).sort().values, image[:, :, :4, :4].flatten(1).sort().values)


def test_all_channels_are_shuffled_alike_and_samples_are_not():
    image = noise_image(1, 1, 8, 8, 4).expand(2, 2, -1, -1, -1)
    found = shuffled(image, SIDES, stream())
    assert torch.equal(found[:, 0], found[:, 1])
    assert not torch.equal(found[0], found[1])


def test_a_cube_of_one_voxel_leaves_the_image_as_it_is():
    image = noise_image(2, 1, 5, 6, 7)
    assert torch.equal(shuffled(image, (1, 1, 1), stream()), image)
    assert not torch.equal(shuffled(image, (1, 1, 2), stream()), image)


@pytest.mark.parametrize("size", [(16, 16, 8), (9, 5, 20)])
def test_draws_are_the_same_within_a_cube_and_others_in_the_next_at_any_size(size):
    image = noise_image(2, 2, *size)
    drawn = cube_draws(image, SIDES, stream())
    assert drawn.shape == (2, 1, *size)
    assert len(drawn[0, 0, :4, :8, :2].unique()) == 1
    assert len(drawn.unique()) == 2 * math.prod(-(-n // side) for n, side in zip(size, SIDES, strict=True))
    assert shuffled(image, SIDES, stream()).shape == image.shape


def curve_by_numpy(value, control, falling):
    """Bernstein polynomials, sorted coordinates and linear interpolation, on many more points."""
    t = np.linspace(0, 1, 20001)
    points = np.vstack([[0, 0], control, [1, 1]])
    basis = np.stack([comb(3, i) * t**i * (1 - t) ** (3 - i) for i in range(4)])
    x, y = points[:, 0] @ basis, points[:, 1] @ basis
    return np.interp(value, np.sort(x), y[::-1] if falling else np.sort(y))


@pytest.mark.parametrize("falling", [False, True])
def test_the_curve_is_the_bezier_curve_written_with_numpy(falling):
    control = torch.rand(5, 2, 2, generator=stream())
    value = torch.rand(5, 300, generator=stream(1))
    ours = bezier(value, control, torch.full((5,), falling))
    for row in range(5):
        expected = curve_by_numpy(value[row].numpy(), control[row].numpy(), falling)
        np.testing.assert_allclose(ours[row].numpy(), expected, atol=5e-3)
    assert not torch.allclose(ours, bezier(value, control, torch.full((5,), not falling)), atol=0.1)


def test_inner_points_on_the_diagonal_give_the_identity_and_its_reverse():
    diagonal = torch.tensor([[1 / 3, 1 / 3], [2 / 3, 2 / 3]]).expand(2, 2, 2)
    value = torch.rand(2, 50, generator=stream())
    curved = bezier(value, diagonal, torch.tensor([False, True]))
    torch.testing.assert_close(curved[0], value[0], rtol=0, atol=1e-4)
    torch.testing.assert_close(curved[1], 1 - value[1], rtol=0, atol=1e-4)
