import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from PIL import Image

from dgsweep.errors import CaseError
from dgsweep.method.promptable.slices import (
    Preparation,
    as_image,
    as_plane,
    box_in_image,
    model_input,
    resize_by_splines,
    resize_bytes,
    to_model_px,
    to_native,
    to_uint8,
)

PLAIN = Preparation()
FAMILIES = ("sam", "medsam", "sam2", "medsam2")


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def smooth(rows, columns):
    y, x = np.mgrid[:rows, :columns]
    return (127 + 100 * np.sin(x / 9.0) * np.cos(y / 7.0)).astype(np.uint8)


def test_the_window_is_the_published_one_worked_out_by_hand():
    volume = np.arange(-10.0, 201.0).reshape(211, 1, 1)  # 200 voxels above 0: percentiles of 1..200
    shown = to_uint8(volume, PLAIN).ravel()
    low, high = 1 + 0.005 * 199, 1 + 0.995 * 199
    expected = [0 if value == 0 else int((min(max(value, low), high) - low) / (high - low) * 255) for value in volume.ravel()]  # fmt: skip  # noqa: E501
    assert shown.tolist() == expected


def test_background_of_zero_stays_black_although_the_lower_percentile_may_be_negative():
    volume = np.array([-100.0, -50.0, 0.0, 50.0]).reshape(4, 1, 1)
    wide = Preparation(low_pct=0.0, high_pct=100.0)
    assert to_uint8(volume, wide).ravel().tolist() == [0, 0, 0, 0]  # one positive voxel: the window has no width
    assert to_uint8(volume[:2], wide).ravel().tolist() == [0, 255]  # negative values only: percentiles of all voxels


@pytest.mark.parametrize("kind", [np.uint16, np.int16, np.float32])
def test_the_number_type_does_not_change_the_image(kind, rng):
    volume = rng.integers(0, 32767, (6, 5, 4))
    assert (to_uint8(volume.astype(kind), PLAIN) == to_uint8(volume.astype(np.float64), PLAIN)).all()


def test_full_16_bit_range_does_not_overflow():
    volume = np.array([0, 1, 30000, 65535], dtype=np.uint16).reshape(4, 1, 1)
    assert to_uint8(volume, Preparation(low_pct=0, high_pct=100)).ravel().tolist() == [0, 0, 116, 255]


@pytest.mark.parametrize("value", [0.0, 7.0, -3.0])
def test_a_constant_volume_is_black_and_finite_for_every_family(value):
    shown = to_uint8(np.full((5, 4, 2), value), PLAIN)
    assert not shown.any()
    for family in FAMILIES:
        assert torch.isfinite(model_input(family, shown[:, :, 0], 32)).all()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_voxels_that_are_no_numbers_are_refused_by_number_and_place(value):
    volume = np.ones((4, 3, 2))
    volume[2, 1, 0] = volume[3, 2, 1] = value
    with pytest.raises(CaseError, match=r"a\.nii\.gz: 2 of 24 voxels.*\(2, 1, 0\)"):
        to_uint8(volume, PLAIN, where="a.nii.gz")


def test_an_image_has_rows_from_anterior_and_columns_from_the_right_of_the_patient():
    plane = np.zeros((4, 3))
    plane[3, 2] = 1  # RAS: most right, most anterior
    assert as_image(plane, PLAIN).shape == (3, 4)
    assert as_image(plane, PLAIN)[0, 0] == 1
    assert as_image(plane, Preparation(view="array"))[2, 3] == 1


@pytest.mark.parametrize("view", ["radiological", "array"])
def test_image_and_box_turn_alike_and_the_image_turns_back(view, rng):
    preparation = Preparation(view=view)
    plane = rng.random((9, 6))
    x0, y0, x1, y1 = box_in_image((1, 2, 5, 3), (9, 6), preparation)
    image = as_image(plane, preparation)
    assert sorted(image[y0 : y1 + 1, x0 : x1 + 1].ravel()) == sorted(plane[1:6, 2:4].ravel())
    assert (as_plane(image, preparation) == plane).all()


@pytest.mark.parametrize(("mode", "filter_"), [("bilinear", Image.Resampling.BILINEAR), ("bicubic", Image.Resampling.BICUBIC)])  # fmt: skip  # noqa: E501
@pytest.mark.parametrize("native", [(12, 20), (300, 200), (64, 48)])
def test_bytes_are_resized_as_pillow_does_it_within_one_grey_level(mode, filter_, native, rng):
    image = rng.integers(0, 256, native).astype(np.uint8)
    theirs = np.array(Image.fromarray(image).resize((48, 64), filter_), dtype=np.float32)
    ours = resize_bytes(image, (64, 48), mode).numpy()
    assert np.abs(ours - theirs).max() <= 1
    assert (ours != theirs).mean() < 0.02
    other = np.array(Image.fromarray(image).resize((48, 64), Image.Resampling.HAMMING), dtype=np.float32)
    if native != (64, 48):
        assert np.abs(ours - other).max() > 1


def test_splines_are_those_of_scikit_image():
    for case in json.loads((Path(__file__).parent / "skimage_resize.json").read_text())["cases"]:
        image = np.array(case["image"], dtype=np.float64)
        expected = np.array(case["resized"])
        assert np.abs(resize_by_splines(image, len(expected)) - expected).max() < 1e-9
        assert np.abs(resize_by_splines(image[::-1], len(expected)) - expected).max() > 1


def test_splines_agree_with_simpleitk_in_the_middle_of_an_enlarged_image():
    image = smooth(40, 30)
    itk = sitk.GetImageFromArray(image.astype(np.float64))
    to = sitk.Image(64, 64, sitk.sitkFloat64)
    to.SetSpacing((30 / 64, 40 / 64))
    to.SetOrigin(((30 / 64 - 1) / 2, (40 / 64 - 1) / 2))  # centres of pixels, the corners being the same
    theirs = sitk.GetArrayFromImage(sitk.Resample(itk, to, sitk.Transform(), sitk.sitkBSpline))
    ours = resize_by_splines(image.astype(np.float64), 64)
    assert np.abs(ours - theirs)[12:-12, 12:-12].max() < 0.1  # grey levels; borders are treated in other ways
    assert np.abs(resize_by_splines(image.T.astype(np.float64), 64) - theirs)[12:-12, 12:-12].max() > 10


def test_sam_sees_the_longest_side_at_full_size_and_zeros_below_or_beside_it():
    tall = model_input("sam", smooth(40, 20), 64)
    assert tall.shape == (3, 64, 64)
    assert (tall[:, :, 32:] == 0).all()
    assert (tall[:, :, :32] != 0).any(dim=0).all()
    wide = model_input("sam", smooth(20, 40), 64)
    assert (wide[:, 32:] == 0).all()
    resized = np.array(Image.fromarray(smooth(40, 20)).resize((32, 64), Image.Resampling.BILINEAR), dtype=np.float64)
    for colour, (mean, std) in enumerate([(123.675, 58.395), (116.28, 57.12), (103.53, 57.375)]):
        assert np.abs(tall[colour, :, :32].numpy() - (resized - mean) / std).max() < 1.01 / std


def test_medsam_sees_each_slice_from_0_to_1_without_mean_and_deviation():
    seen = model_input("medsam", (smooth(40, 20) // 4 + 50).astype(np.uint8), 64)
    assert seen.shape == (3, 64, 64)
    assert float(seen.min()) == 0
    assert float(seen.max()) == 1
    assert (seen[0] == seen[1]).all()


def test_sam2_and_medsam2_see_imagenet_statistics_of_a_squashed_slice():
    image = smooth(40, 20)
    for family, size in (("sam2", Image.Resampling.BILINEAR), ("medsam2", Image.Resampling.BICUBIC)):
        seen = model_input(family, image, 64)
        squashed = np.array(Image.fromarray(image).resize((64, 64), size), dtype=np.float64) / 255
        for colour, (mean, std) in enumerate([(0.485, 0.229), (0.456, 0.224), (0.406, 0.225)]):
            assert np.abs(seen[colour].numpy() - (squashed - mean) / std).max() < 1.01 / 255 / std


def test_an_unknown_family_has_no_preprocessing():
    with pytest.raises(ValueError, match="sam3"):
        model_input("sam3", smooth(4, 4), 16)


def test_boxes_are_scaled_by_each_axis_and_for_sam_by_its_longest_side_alone():
    corners = np.array([[10, 5], [20, 25]])  # column, row
    assert to_model_px("medsam", corners, (50, 40), 1024).tolist() == [[256.0, 102.4000015258789], [512.0, 512.0]]
    rows, columns = 1024, 819  # 40 / 50 of 1024 is 819.2
    expected = corners * np.array([columns / 40, rows / 50])
    assert np.abs(to_model_px("sam", corners, (50, 40), 1024) - expected).max() < 1e-4


def test_masks_return_without_sams_padding():
    low_res = torch.full((1, 16, 16), -5.0)
    low_res[:, :, 8:] = 5.0  # a slice twice as high as wide fills the left half: all of this is padding
    _, mask = to_native("sam", low_res, (40, 20), 64)
    assert mask[0, :, :-1].sum() == 0
    _, squashed = to_native("sam2", low_res, (40, 20), 64)
    assert squashed[0, :, 10:].all()


def test_medsam_interpolates_probabilities_and_the_others_logits():
    low_res = torch.tensor([[[8.0, -2.0], [8.0, -2.0]]])
    probability, mask = to_native("medsam", low_res, (2, 4), 1024)
    ends = torch.sigmoid(torch.tensor([8.0, -2.0]))
    assert torch.allclose(probability[0, 0], ends[0] + (ends[1] - ends[0]) * torch.tensor([0, 0.25, 0.75, 1]))
    assert mask[0, 0].tolist() == [True, True, False, False]
    probability, mask = to_native("sam2", low_res, (2, 4), 1024)
    assert torch.allclose(probability[0, 0], torch.sigmoid(torch.tensor([8.0, 5.5, 0.5, -2.0])))
    assert mask[0, 0].tolist() == [True, True, True, False]
