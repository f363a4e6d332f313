"""There and back again: whatever the file's grid, a structure ends where it was in the world."""

import nibabel as nib
import numpy as np
import pytest
from scipy.ndimage import center_of_mass, zoom

from dgsweep.data.geometry import (
    grid_mismatch,
    read_label,
    read_volume,
    resample_image,
    resample_label,
    resampled_shape,
    to_native,
    write_mask,
)
from dgsweep.data.nifti import read_header
from dgsweep.errors import CaseError


def _rotation(degrees_x, degrees_z):
    x, z = np.deg2rad([degrees_x, degrees_z])
    about_x = np.array([[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]])
    about_z = np.array([[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]])
    return about_x @ about_z


def _affine(directions, spacing, origin=(-31.0, 17.5, 203.25)):
    affine = np.eye(4)
    affine[:3, :3] = np.asarray(directions, dtype=float) @ np.diag(spacing)
    affine[:3, 3] = origin
    return affine


PSR = np.array(
    [[0, 0, 1], [-1, 0, 0], [0, 1, 0]]
)  # first file axis runs to posterior, second to superior, third to right
GRIDS = {
    "ras": _affine(np.eye(3), (1.0, 1.0, 1.0)),
    "oblique": _affine(_rotation(17, -28), (0.9, 1.1, 2.0)),
    "left-handed": _affine(np.diag([-1, 1, 1]), (1.0, 1.2, 2.5)),
    "lps": _affine(np.diag([-1, -1, 1]), (0.8, 0.8, 2.0)),
    "psr": _affine(PSR, (1.5, 0.7, 1.0)),
    "oblique psr left-handed": _affine(_rotation(11, 9) @ PSR @ np.diag([1, 1, -1]), (1.0, 2.0, 0.6)),
    "anisotropic": _affine(np.eye(3), (0.6, 0.6, 5.0)),
    "sheared": _affine(np.array([[1, 0.12, 0], [0, 0.99, 0.1], [0, 0, 0.99]]), (1.0, 1.0, 1.5)),
}
SHAPE = (38, 31, 27)


def _blob(center, radius=5.0):
    voxels = np.indices(SHAPE).reshape(3, -1).T
    return (np.linalg.norm(voxels - center, axis=1) < radius).reshape(SHAPE).astype(np.uint8)


def _world_center(path):
    image = nib.load(path)
    return nib.affines.apply_affine(image.affine, center_of_mass(np.asarray(image.dataobj)))


def _voxels_apart(written, source):
    """World distance of the two blobs' centres along each axis of the source, in its voxels."""
    apart = _world_center(written) - _world_center(source)
    return np.abs(np.linalg.solve(nib.load(source).affine[:3, :3], apart))


def _canonical_axes(affine):
    """For each file axis the world axis that it is closest to: x, y, z as 0, 1, 2."""
    return np.abs(affine[:3, :3] / nib.affines.voxel_sizes(affine)).argmax(axis=0)


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("target", [(1.5, 1.5, 3.0), (0.8, 1.0, 1.0)])
def test_a_blob_is_back_within_half_a_voxel_after_resampling_and_writing(tmp_path, name, target):
    source, written = tmp_path / "blob.nii.gz", tmp_path / "back.nii.gz"
    nib.save(nib.Nifti1Image(_blob((14.3, 18.6, 11.2)), GRIDS[name]), source)
    volume = read_volume(source)
    label = resample_label(read_label(source, volume.native), volume.spacing_mm, target)
    probabilities = np.stack([label == 0, label == 1]).astype(np.float32)
    write_mask(written, to_native(probabilities, volume.native), volume.native)
    coarser = np.maximum(volume.spacing_mm, target)[_canonical_axes(GRIDS[name])]
    assert (_voxels_apart(written, source) * nib.affines.voxel_sizes(GRIDS[name]) < 0.5 * coarser).all()
    flipped = nib.Nifti1Image(np.asarray(nib.load(written).dataobj)[::-1], nib.load(written).affine)
    nib.save(flipped, tmp_path / "flipped.nii.gz")
    assert _voxels_apart(tmp_path / "flipped.nii.gz", source)[0] > 5


@pytest.mark.parametrize("name", GRIDS)
def test_a_written_mask_has_the_shape_and_affine_of_its_source(tmp_path, name):
    source, written = tmp_path / "image.nii.gz", tmp_path / "mask.nii.gz"
    nib.save(nib.Nifti1Image(_blob((10, 10, 10)), GRIDS[name]), source)
    native = read_volume(source).native
    write_mask(written, _blob((10, 10, 10)), native)
    again = nib.load(written)
    assert again.shape == SHAPE
    np.testing.assert_allclose(again.affine, nib.load(source).affine, atol=1e-4)
    np.testing.assert_array_equal(np.asarray(again.dataobj), np.asarray(nib.load(source).dataobj))


@pytest.mark.parametrize("name", GRIDS)
def test_the_canonical_form_is_the_one_of_nibabel(tmp_path, name):
    array = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    nib.save(nib.Nifti1Image(array, GRIDS[name]), tmp_path / "image.nii")
    volume = read_volume(tmp_path / "image.nii")
    expected = nib.as_closest_canonical(nib.load(tmp_path / "image.nii"))
    np.testing.assert_array_equal(volume.array, np.asarray(expected.dataobj, dtype=np.float32))
    np.testing.assert_allclose(volume.spacing_mm, expected.header.get_zooms(), rtol=1e-5)
    np.testing.assert_allclose(volume.native.canonical_affine, expected.affine, atol=1e-4)
    np.testing.assert_array_equal(volume.native.from_canonical(volume.array), array)


def test_the_mask_header_keeps_no_text_of_the_source(tmp_path):
    image = nib.Nifti1Image(_blob((9, 9, 9)), GRIDS["lps"])
    image.header["descrip"], image.header["aux_file"] = b"DOE^JANE 1970", b"JANE"
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"patient JANE"))
    nib.save(image, tmp_path / "source.nii")
    native = read_volume(tmp_path / "source.nii").native
    write_mask(tmp_path / "mask.nii", _blob((9, 9, 9)), native)
    assert b"JANE" in (tmp_path / "source.nii").read_bytes()
    assert b"JANE" not in (tmp_path / "mask.nii").read_bytes()


def test_a_mask_on_another_grid_is_refused_and_leaves_no_file(tmp_path):
    nib.save(nib.Nifti1Image(_blob((9, 9, 9)), np.eye(4)), tmp_path / "image.nii")
    native = read_volume(tmp_path / "image.nii").native
    with pytest.raises(CaseError, match="shape"):
        write_mask(tmp_path / "mask.nii", np.zeros((3, 3, 3), np.uint8), native)
    assert [path.name for path in tmp_path.iterdir()] == ["image.nii"]


def test_voxel_counts_are_rounded_and_never_zero():
    # 100 * 0.7 / 1.5 = 46.67, 31 * 1 / 3 = 10.33, 2 * 0.5 / 5 = 0.2
    assert resampled_shape((100, 31, 2), (0.7, 1.0, 0.5), (1.5, 3.0, 5.0)) == (47, 10, 1)


def test_a_ramp_keeps_its_values_at_voxel_centres_when_edges_are_aligned():
    # twice as fine: new centres lie at -1/4, 1/4, 3/4 ... of the old index
    ramp = np.broadcast_to(np.arange(24, dtype=np.float32)[:, None, None], (24, 8, 8)).copy()
    fine = resample_image(ramp, (1.0, 1.0, 1.0), (0.5, 1.0, 1.0))
    expected = (np.arange(48) + 0.5) / 2 - 0.5
    np.testing.assert_allclose(fine[8:40, 4, 4], expected[8:40], atol=0.01)


def test_resampling_agrees_with_scipy_where_both_align_edges():
    rng = np.random.default_rng(3)
    smooth = zoom(rng.normal(size=(5, 6, 7)), 4, order=3, grid_mode=True, mode="reflect").astype(np.float32)
    ours = resample_image(smooth, (1.0, 1.0, 1.0), (1.6, 1.6, 1.6))
    factors = [new / old for new, old in zip(ours.shape, smooth.shape, strict=True)]
    theirs = np.clip(zoom(smooth, factors, order=3, grid_mode=True, mode="mirror"), smooth.min(), smooth.max())
    inner = (slice(2, -2),) * 3
    np.testing.assert_allclose(ours[inner], theirs[inner], atol=0.02)
    assert np.abs(ours[inner] - np.roll(theirs, 1, axis=0)[inner]).max() > 0.2


def test_the_label_takes_the_grid_of_its_image():
    for shape, spacing in [((90, 61, 23), (0.7, 0.7, 3.1)), ((33, 47, 61), (1.11, 0.93, 0.77)), ((5, 5, 5), (3, 3, 3))]:
        image = resample_image(np.zeros(shape, np.float32), spacing, (1.5, 1.5, 3.0))
        label = resample_label(np.zeros(shape, np.uint8), spacing, (1.5, 1.5, 3.0))
        assert image.shape == label.shape


def test_the_thick_axis_of_an_anisotropic_scan_is_not_blended():
    slices = np.zeros((20, 20, 6), np.float32)
    slices[:, :, 3:] = 100.0
    thick = resample_image(slices, (1.0, 1.0, 5.0), (1.0, 1.0, 2.5))
    thin = resample_image(slices, (2.0, 2.0, 5.0), (2.0, 2.0, 2.5))
    assert set(np.unique(thick)) == {0.0, 100.0}
    assert len(np.unique(thin)) > 2


def test_a_resampled_label_holds_no_class_that_was_not_there():
    labels = np.zeros((20, 20, 20), np.uint8)
    labels[4:16, 4:16, 4:10], labels[4:16, 4:16, 10:16] = 3, 7
    result = resample_label(labels, (1.0, 1.0, 1.0), (0.7, 1.3, 0.9))
    assert set(np.unique(result)) == {0, 3, 7}
    volume = 0.7 * 1.3 * 0.9 * (result == 3).sum()
    assert volume == pytest.approx(12 * 12 * 6, rel=0.1)


def test_two_and_more_classes_come_back_by_the_same_rule(tmp_path):
    nib.save(nib.Nifti1Image(np.zeros(SHAPE, np.float32), GRIDS["oblique"]), tmp_path / "image.nii")
    native = read_volume(tmp_path / "image.nii").native
    scores = np.random.default_rng(0).random((2, 20, 16, 14)).astype(np.float32)
    never = np.full((1, 20, 16, 14), -1.0, np.float32)
    two, three = to_native(scores, native), to_native(np.concatenate([scores, never]), native)
    assert (two != three).mean() < 1e-4
    assert (two != to_native(scores[::-1].copy(), native)).mean() > 0.9


def test_a_label_stored_flipped_lies_on_its_image_and_one_shifted_does_not(tmp_path):
    blob = _blob((12, 15, 9))
    nib.save(nib.Nifti1Image(blob, GRIDS["lps"]), tmp_path / "image.nii")
    flipped = nib.as_closest_canonical(nib.load(tmp_path / "image.nii"))
    nib.save(flipped, tmp_path / "flipped.nii")
    shifted = GRIDS["lps"].copy()
    shifted[0, 3] += 80.0
    nib.save(nib.Nifti1Image(blob, shifted), tmp_path / "shifted.nii")
    image = read_volume(tmp_path / "image.nii")
    np.testing.assert_array_equal(read_label(tmp_path / "flipped.nii", image.native), image.array)
    assert "80.00 mm off" in grid_mismatch(image.native, read_header(tmp_path / "shifted.nii")[0])
    with pytest.raises(CaseError, match=r"80\.00 mm off"):
        read_label(tmp_path / "shifted.nii", image.native)


def test_a_label_with_fractions_is_refused(tmp_path):
    nib.save(nib.Nifti1Image(np.full((4, 4, 4), 1.0, np.float32), np.eye(4)), tmp_path / "whole.nii")
    nib.save(nib.Nifti1Image(np.full((4, 4, 4), 0.5, np.float32), np.eye(4)), tmp_path / "half.nii")
    native = read_header(tmp_path / "whole.nii")[0]
    assert set(np.unique(read_label(tmp_path / "whole.nii", native))) == {1}
    with pytest.raises(CaseError, match="whole number"):
        read_label(tmp_path / "half.nii", native)
