"""Spatial augmentation against numpy's own rotations, in voxels and in mm."""

import math

import numpy as np
import pytest
import torch

from dgsweep.training.augment import SpatialParameters, apply_spatial, sample_spatial

AUGMENT = {"p_rotate": 0.2, "rotate_deg": 30.0, "p_scale": 0.2, "scale": (0.7, 1.4), "mirror_axes": ("x", "y", "z")}
STILL = {**AUGMENT, "p_rotate": 0.0, "p_scale": 0.0, "mirror_axes": ()}
ISOTROPIC = (1.0, 1.0, 1.0)


def about_z(degrees: float) -> np.ndarray:
    sine, cosine = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
    return np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])


def parameters(matrix: np.ndarray, n: int = 1, mirror: tuple[bool, bool, bool] = (False, False, False)):
    moved = not np.array_equal(matrix, np.eye(3))
    return SpatialParameters(
        matrices=np.stack([matrix] * n), mirror=np.array([mirror] * n), moved=np.full(n, moved)
    )  # fmt: skip


def drawn(shape: tuple[int, ...], n: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(0)
    image = torch.from_numpy(rng.normal(size=(n, 2, *shape)).astype(np.float32))
    return image, torch.from_numpy(rng.integers(0, 4, (n, *shape)))


def balls_mm(spacing_mm: tuple[float, float, float], shape: tuple[int, ...], centers_mm: list[tuple[float, ...]]):
    """Balls of radius 6 mm, class 1, 2, ..., at positions in mm from the centre of the patch."""
    axes = [(np.arange(n) - (n - 1) / 2) * mm for n, mm in zip(shape, spacing_mm, strict=True)]
    grid = np.meshgrid(*axes, indexing="ij")
    label = np.zeros(shape, dtype=np.int64)
    for k, center in enumerate(centers_mm, start=1):
        label[sum((axis - at) ** 2 for axis, at in zip(grid, center, strict=True)) < 36.0] = k
    return torch.from_numpy(label)[None]


def center_mm(label: torch.Tensor, k: int, spacing_mm: tuple[float, float, float]) -> np.ndarray:
    voxels = np.argwhere(label[0].numpy() == k).mean(axis=0)
    return (voxels - (np.array(label.shape[1:]) - 1) / 2) * np.array(spacing_mm)


def test_identity_parameters_leave_patches_bit_identical():
    image, label = drawn((7, 6, 5), n=2)
    same_image, same_label = apply_spatial(image, label, parameters(np.eye(3), n=2), ISOTROPIC)
    assert torch.equal(same_image, image)
    assert torch.equal(same_label, label)


def test_switched_off_augmentation_draws_the_identity():
    for step in range(20):
        still = sample_spatial(STILL, ISOTROPIC, 4, seed=0, step=step)
        assert not still.moved.any()
        assert not still.mirror.any()
        assert np.array_equal(still.matrices, np.stack([np.eye(3)] * 4))


def test_rotating_by_90_degrees_about_z_equals_rot90():
    # The matrix maps output to input: output (x, y) shows input (-y, x), so that content turns from +y to +x.
    image, label = drawn((8, 8, 5))
    turned_image, turned_label = apply_spatial(image, label, parameters(about_z(90)), ISOTROPIC)
    np.testing.assert_allclose(turned_image[0], np.rot90(image[0].numpy(), k=-1, axes=(1, 2)), atol=1e-5)
    np.testing.assert_array_equal(turned_label[0], np.rot90(label[0].numpy(), k=-1, axes=(0, 1)))
    assert not np.allclose(turned_image[0], np.rot90(image[0].numpy(), k=1, axes=(1, 2)), atol=1e-2)


def test_turning_there_and_back_is_the_identity():
    image, label = drawn((8, 8, 5))
    there = apply_spatial(image, label, parameters(about_z(90)), ISOTROPIC)
    back_image, back_label = apply_spatial(*there, parameters(about_z(-90)), ISOTROPIC)
    torch.testing.assert_close(back_image, image, atol=1e-5, rtol=0)
    assert torch.equal(back_label, label)


@pytest.mark.parametrize("degrees", [30.0, -75.0])
@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0, 1.0), (1.0, 2.0, 3.0), (0.8, 1.6, 2.0)])
def test_rotation_keeps_places_and_distances_in_mm(spacing_mm, degrees):
    shape = tuple(round(60 / mm) for mm in spacing_mm)
    label = balls_mm(spacing_mm, shape, [(15.0, 0.0, 0.0), (0.0, -10.0, 8.0)])
    _, turned = apply_spatial(torch.zeros(1, 1, *shape), label, parameters(about_z(degrees)), spacing_mm)
    for k in (1, 2):
        expected = about_z(degrees).T @ center_mm(label, k, spacing_mm)
        np.testing.assert_allclose(center_mm(turned, k, spacing_mm), expected, atol=0.7 * max(spacing_mm) / 2 + 0.2)
    apart = [np.linalg.norm(center_mm(it, 1, spacing_mm) - center_mm(it, 2, spacing_mm)) for it in (label, turned)]
    assert apart[1] == pytest.approx(apart[0], abs=0.5 * max(spacing_mm))


def test_a_matrix_of_half_enlarges_twice():
    label = balls_mm((1.0, 1.0, 2.0), (60, 60, 30), [(0.0, 0.0, 0.0)])
    _, larger = apply_spatial(torch.zeros(1, 1, 60, 60, 30), label, parameters(np.eye(3) / 2), (1.0, 1.0, 2.0))
    assert float(larger.sum()) / float(label.sum()) == pytest.approx(8.0, rel=0.1)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_mirroring_flips_image_and_label_alike(axis):
    image, label = drawn((4, 5, 6), n=2)
    mirror = np.zeros((2, 3), dtype=bool)
    mirror[1, axis] = True
    flips = SpatialParameters(matrices=np.stack([np.eye(3)] * 2), mirror=mirror, moved=np.zeros(2, dtype=bool))
    new_image, new_label = apply_spatial(image, label, flips, ISOTROPIC)
    assert torch.equal(new_image[0], image[0])
    assert torch.equal(new_image[1], image[1].flip(axis + 1))
    assert torch.equal(new_label[1], label[1].flip(axis))
    assert torch.equal(new_label[0], label[0])


def test_image_and_label_stay_together_under_every_drawn_transform():
    label = balls_mm((1.0, 1.0, 2.0), (40, 40, 20), [(8.0, 0.0, 0.0)]).repeat(8, 1, 1, 1)
    always = {**AUGMENT, "p_rotate": 1.0, "p_scale": 1.0}
    for step in range(4):
        how = sample_spatial(always, (1.0, 1.0, 2.0), 8, seed=1, step=step)
        image, moved = apply_spatial(label[:, None].float(), label, how, (1.0, 1.0, 2.0))
        agreement = ((image[:, 0] > 0.5) == (moved > 0)).float().mean()
        assert agreement > 0.995


def test_label_values_stay_a_subset_and_outside_is_background():
    label = torch.full((1, 10, 10, 10), 3)
    _, turned = apply_spatial(torch.ones(1, 1, 10, 10, 10), label, parameters(about_z(45)), ISOTROPIC)
    assert set(turned.unique().tolist()) == {0, 3}


def test_outside_voxels_of_the_image_repeat_the_border():
    image, _ = apply_spatial(
        torch.ones(1, 1, 10, 10, 10), torch.zeros(1, 10, 10, 10).long(), parameters(about_z(45)), ISOTROPIC
    )
    assert torch.allclose(image, torch.ones_like(image))


def test_the_input_is_not_changed():
    image, label = drawn((6, 6, 6), n=2)
    kept = image.clone(), label.clone()
    apply_spatial(image, label, parameters(about_z(30), n=2, mirror=(True, True, True)), ISOTROPIC)
    assert torch.equal(image, kept[0])
    assert torch.equal(label, kept[1])


def test_thick_slices_are_rotated_about_the_thick_axis_only():
    always = {**AUGMENT, "p_rotate": 1.0, "p_scale": 0.0}
    thick = sample_spatial(always, (1.0, 1.0, 3.5), 16, seed=0, step=0).matrices
    cube = sample_spatial(always, (1.0, 1.0, 2.5), 16, seed=0, step=0).matrices
    assert np.allclose(thick[:, 2, :], [0, 0, 1])
    assert not np.allclose(cube[:, 2, :], [0, 0, 1], atol=1e-3)


def test_probabilities_and_ranges_are_those_of_the_recipe():
    many = [sample_spatial(AUGMENT, ISOTROPIC, 8, seed=0, step=step) for step in range(250)]
    matrices = np.concatenate([one.matrices for one in many])
    sizes = np.cbrt(np.linalg.det(matrices))
    scaled = ~np.isclose(sizes, 1.0)
    moved = np.concatenate([one.moved for one in many])
    # 2000 draws: 0.2 +- 0.009 scaled; 1 - 0.8^2 = 0.36 +- 0.011 moved; mirrored 0.5 +- 0.011 an axis.
    assert scaled.mean() == pytest.approx(0.2, abs=0.04)
    assert moved.mean() == pytest.approx(0.36, abs=0.05)
    assert np.concatenate([one.mirror for one in many]).mean(axis=0) == pytest.approx([0.5] * 3, abs=0.05)
    assert 0.69 < (1 / sizes).min() < 0.8
    assert 1.3 < (1 / sizes).max() < 1.41


def test_draws_depend_on_seed_and_step_only():
    first, again, other_step, other_seed = (
        sample_spatial(AUGMENT, ISOTROPIC, 8, seed=seed, step=step).mirror
        for seed, step in [(0, 0), (0, 0), (0, 1), (1, 0)]
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other_step)
    assert not np.array_equal(first, other_seed)
