"""Read, predict, write, read: the mask lies on the organ whatever the scan's geometry.

The organ is a bright ball at a known place in the world; the network is one that finds what is bright.
"""

import nibabel as nib
import numpy as np
import pytest
import torch
from torch import nn

from dgsweep.prediction.choice import Choice, chosen_trials
from dgsweep.prediction.layout import OutputLayout
from dgsweep.prediction.predict import Model, load_models, predict_scans
from dgsweep.prediction.scans import scans_of

CENTER_MM, RADIUS_MM = np.array([12.0, -18.0, 25.0]), 14.0


class Bright(nn.Module):
    """Foreground is what lies 1.5 standard deviations above the mean of its scan."""

    def forward(self, x):
        return [torch.cat([-(x - 1.5), x - 1.5], dim=1)]


def rotation(axis: int, degrees: float) -> np.ndarray:
    turn = np.deg2rad(degrees)
    i, j = [other for other in range(3) if other != axis]
    matrix = np.eye(3)
    matrix[i, i] = matrix[j, j] = np.cos(turn)
    matrix[i, j], matrix[j, i] = -np.sin(turn), np.sin(turn)
    return matrix


GEOMETRIES = {
    "plain": (np.eye(3), (2.0, 2.0, 2.0)),
    "oblique": (rotation(0, 25) @ rotation(2, 35), (2.0, 1.5, 2.5)),
    "left-handed": (np.diag([-1.0, 1.0, 1.0]), (2.0, 2.0, 2.0)),
    "permuted": (np.eye(3)[[2, 0, 1]], (1.5, 2.0, 3.0)),
    "anisotropic": (np.eye(3), (1.2, 1.2, 6.0)),
    "oblique, left-handed and anisotropic": (rotation(1, 20) @ np.diag([1.0, -1.0, 1.0]), (1.2, 1.2, 5.0)),
}


def scan(path, directions, spacing_mm, *, volumes=False, qform=None):
    """A ball of 100 in noise of 1 around 0, its middle somewhere off the middle of the field of view."""
    shape = tuple(round(90 / side) for side in spacing_mm)
    affine = np.eye(4)
    affine[:3, :3] = directions * np.array(spacing_mm)
    affine[:3, 3] = CENTER_MM + np.array([12.0, -10.0, 14.0]) - affine[:3, :3] @ (np.array(shape) / 2)
    grid = np.stack(np.meshgrid(*(np.arange(length) for length in shape), indexing="ij"), axis=-1)
    distance = np.linalg.norm(grid @ affine[:3, :3].T + affine[:3, 3] - CENTER_MM, axis=-1)
    array = np.random.default_rng(0).normal(0, 1, shape).astype(np.float32) + 100 * (distance < RADIUS_MM)
    image = nib.Nifti1Image(array[..., None] if volumes else array, affine)
    if qform is not None:
        image.set_sform(affine, code=2)
        image.set_qform(qform, code=1)
    nib.save(image, path)
    return distance < RADIUS_MM


@pytest.fixture(scope="module")
def bright(swept) -> Model:
    """A trained trial's whole path, with another network in it."""
    trial = swept.read_plan().trials[0].trial_id
    _, specs = chosen_trials(swept.output, Choice(trials=(trial,)))
    (model,) = load_models(swept, specs, torch.device("cpu"))
    model.ctx.network = Bright()
    return model


def predicted(model, folder):
    (folder / "out").mkdir()
    layout = OutputLayout(name="plain", folder=folder / "out", labels={"ball": 1})
    done = predict_scans([model], scans_of(folder / "scan.nii.gz"), layout)
    assert (done.written, done.problems) == (1, ())
    return nib.load(folder / "out" / "scan.nii.gz")


def off_by_voxels(image) -> float:
    """How far the middle of the mask lies from the ball's, along the worst axis."""
    wanted = nib.affines.apply_affine(np.linalg.inv(image.affine), CENTER_MM)
    return float(np.abs(np.argwhere(np.asarray(image.dataobj)).mean(axis=0) - wanted).max())


@pytest.mark.parametrize("name", GEOMETRIES)
def test_the_mask_lies_on_the_organ_within_half_a_voxel(bright, tmp_path, name):
    directions, spacing_mm = GEOMETRIES[name]
    truth = scan(tmp_path / "scan.nii.gz", directions, spacing_mm)
    mask = predicted(bright, tmp_path)
    original = nib.load(tmp_path / "scan.nii.gz")
    assert mask.shape == original.shape
    np.testing.assert_allclose(mask.affine, original.affine, atol=1e-5)
    assert off_by_voxels(mask) < 0.5
    found = np.asarray(mask.dataobj) > 0
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.85


def test_a_mask_in_mirrored_geometry_would_be_noticed(bright, tmp_path):
    scan(tmp_path / "scan.nii.gz", *GEOMETRIES["oblique"])
    mask = predicted(bright, tmp_path)
    wrong = nib.Nifti1Image(np.asarray(mask.dataobj)[::-1], mask.affine)
    assert off_by_voxels(mask) < 0.5 < off_by_voxels(wrong)


def test_one_volume_in_four_dimensions_gives_the_mask_of_the_volume(bright, tmp_path):
    for folder, volumes in (("a", False), ("b", True)):
        (tmp_path / folder).mkdir()
        scan(tmp_path / folder / "scan.nii.gz", *GEOMETRIES["oblique"], volumes=volumes)
    three, four = predicted(bright, tmp_path / "a"), predicted(bright, tmp_path / "b")
    np.testing.assert_array_equal(np.asarray(three.dataobj), np.asarray(four.dataobj))


def test_where_sform_and_qform_differ_the_mask_lies_where_the_sform_says(bright, tmp_path):
    elsewhere = np.diag([2.0, 2.0, 2.0, 1.0])
    elsewhere[:3, 3] = (200.0, 0.0, 0.0)
    scan(tmp_path / "scan.nii.gz", *GEOMETRIES["plain"], qform=elsewhere)
    mask = predicted(bright, tmp_path)
    assert off_by_voxels(mask) < 0.5
