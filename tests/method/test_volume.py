"""The batched building blocks against SciPy, sample by sample."""

import numpy as np
import pytest
import torch
from scipy import interpolate, ndimage
from scipy.spatial.transform import Rotation

from dgsweep.method.volume import bspline_field, gaussian_blur, rotations, unit_range, warp

SIZE = (12, 10, 9)


def images(n: int = 3, channels: int = 2) -> torch.Tensor:
    return torch.randn(n, channels, *SIZE, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("sigma", [[[0.5] * 3, [1.3] * 3, [0.0] * 3], [[0.5, 0.0, 2.0], [1.0, 2.0, 0.3], [0.7] * 3]])
def test_the_blur_is_scipys_with_a_sigma_for_each_sample_and_axis(sigma):
    image = images()
    blurred = gaussian_blur(image, torch.tensor(sigma))
    for sample in range(3):
        for channel in range(2):
            expected = ndimage.gaussian_filter(image[sample, channel].numpy(), sigma[sample], mode="nearest")
            np.testing.assert_allclose(blurred[sample, channel].numpy(), expected, atol=1e-5)
    assert not torch.allclose(blurred, gaussian_blur(image, torch.tensor(sigma).flip(0)), atol=1e-2)


def test_one_sigma_for_all_axes_may_be_given_as_one_number():
    image, sigma = images(), torch.tensor([0.5, 1.0, 0.0])
    assert torch.equal(gaussian_blur(image, sigma), gaussian_blur(image, sigma[:, None].expand(3, 3)))
    assert gaussian_blur(image, torch.zeros(3)) is image


def test_the_spline_field_is_scipys_quadratic_b_spline_away_from_the_border():
    control = torch.randn(1, 1, 5, 1, 1, generator=torch.Generator().manual_seed(1))
    field = bspline_field(control, (40, 2, 2))[0, 0, :, 0, 0].numpy()
    bump = interpolate.BSpline.basis_element(np.array([-1.5, -0.5, 0.5, 1.5]), extrapolate=False)
    where = (np.arange(40) + 0.5) * 5 / 40 - 0.5
    basis = np.nan_to_num(bump(where[:, None] - np.arange(5)))
    inner = slice(8, 32)
    np.testing.assert_allclose(field[inner], (basis @ control.flatten().numpy())[inner], atol=1e-5)
    assert not np.allclose(field[inner], (basis @ control.flatten().flip(0).numpy())[inner], atol=1e-2)


def test_constant_control_points_give_a_constant_field_up_to_the_border():
    field = bspline_field(torch.full((2, 1, 3, 4, 2), 0.7), SIZE)
    assert field.shape == (2, 1, *SIZE)
    torch.testing.assert_close(field, torch.full_like(field, 0.7), rtol=0, atol=1e-5)


def test_rotation_vectors_give_scipys_matrices():
    angles = torch.tensor([[0.3, -0.2, 0.5], [0.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    np.testing.assert_allclose(rotations(angles).numpy(), Rotation.from_rotvec(angles.numpy()).as_matrix(), atol=1e-6)


def test_warp_is_scipys_affine_in_millimetres_plus_the_shift_in_voxels():
    spacing, size = (1.0, 2.0, 3.0), (13, 11, 9)
    image = torch.as_tensor(ndimage.gaussian_filter(np.random.default_rng(0).random(size), 1.0)).float()
    label = (image > image.median()).long()
    matrix, step = rotations(torch.tensor([[0.1, -0.2, 0.3]])) * 1.1, torch.tensor([0.6, -0.4, 0.2])
    shift = step.view(1, 3, 1, 1, 1).expand(1, 3, *size)
    moved, warped = warp(image[None, None], label[None], matrix, shift, spacing)
    voxels = np.diag(1 / np.array(spacing)) @ matrix[0].numpy() @ np.diag(spacing)
    centre = (np.array(size) - 1) / 2
    offset = centre - voxels @ centre + step.numpy()
    expected = ndimage.affine_transform(image.numpy(), voxels, offset, order=1, mode="nearest")
    np.testing.assert_allclose(moved[0, 0].numpy(), expected, atol=1e-4)
    classes = ndimage.affine_transform(label.numpy(), voxels, offset, order=0, mode="grid-constant", cval=0)
    assert (warped[0].numpy() == classes).mean() > 0.995
    isotropic, _ = warp(image[None, None], label[None], matrix, shift, (1.0, 1.0, 1.0))
    assert not np.allclose(isotropic[0, 0].numpy(), expected, atol=1e-2)


def test_the_identity_warp_returns_image_and_label():
    image, label = images(), (images(channels=1)[:, 0] > 0).long()
    moved, warped = warp(image, label, torch.eye(3).expand(3, 3, 3), torch.zeros(3, 3, *SIZE), (1.0, 1.0, 4.0))
    torch.testing.assert_close(moved, image, rtol=0, atol=1e-5)
    assert torch.equal(warped, label)


def test_unit_range_maps_each_channel_to_zero_and_one_and_a_constant_to_zero():
    image = images() * 7 + 3
    image[0, 0] = 2.5
    unit = unit_range(image)
    assert not unit[0, 0].any()
    assert torch.equal(unit[1:].amin((2, 3, 4)), torch.zeros(2, 2))
    torch.testing.assert_close(unit[1:].amax((2, 3, 4)), torch.ones(2, 2))
