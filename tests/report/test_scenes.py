"""Volumes that a page carries for its 3D view: what is in them, how small they are, with which library they come."""

import base64
import gzip
import hashlib
import json
from importlib.resources import files

import nibabel as nib
import numpy as np
import pytest

from dgsweep.report.scenes import GREYS, MARGIN_MM, MOST_KB_A_CASE, library, scene, share

SPACING = (2.0, 2.0, 4.0)
SHAPE = (64, 56, 32)
PLENTY = 10**7


@pytest.fixture(scope="module")
def case():
    """Image, reference and prediction; they overlap in part."""
    reference, prediction = np.zeros(SHAPE, dtype=bool), np.zeros(SHAPE, dtype=bool)
    reference[24:34, 20:30, 12:20] = True
    prediction[28:40, 20:30, 12:20] = True
    image = np.random.default_rng(0).normal(100, 20, SHAPE).astype(np.float32) + 80 * reference
    return image, reference, prediction


def opened(text):
    return nib.Nifti1Image.from_bytes(gzip.decompress(base64.b64decode(text)))


def test_masks_tell_reference_prediction_and_both_apart(case):
    masks = np.asarray(opened(scene(*case, SPACING, PLENTY).masks).dataobj)
    _, reference, prediction = case
    counts = [int((masks == value).sum()) for value in (1, 2, 3)]
    both = reference & prediction
    assert counts == [int((reference & ~both).sum()), int((prediction & ~both).sum()), int(both.sum())]


def test_a_scene_is_the_box_around_both_masks_and_a_margin(case):
    shape = opened(scene(*case, SPACING, PLENTY).image).shape
    margins = [2 * int(np.ceil(MARGIN_MM / side)) for side in SPACING]
    assert shape == tuple(extent + margin for extent, margin in zip((16, 10, 8), margins, strict=True))
    assert shape < SHAPE


def test_a_scene_that_is_too_heavy_gets_coarser_voxels_and_says_so(case):
    whole, small = scene(*case, SPACING, PLENTY), scene(*case, SPACING, 8000)
    assert whole.bytes > 8000 >= small.bytes
    assert "as in the scan" in whole.said
    assert "averaged from the scan’s 2 × 2 × 4 mm" in small.said
    assert opened(small.image).header.get_zooms()[0] > SPACING[0]


def test_a_coarser_mask_keeps_its_volume_nearly(case):
    volumes = []
    for most in (PLENTY, 8000):
        masks = opened(scene(*case, SPACING, most).masks)
        volumes.append((np.asarray(masks.dataobj) & 1).sum() * np.prod(masks.header.get_zooms()))
    assert volumes[1] == pytest.approx(volumes[0], rel=0.25)


def test_grey_levels_are_few_and_span_the_scan(case):
    image = np.asarray(opened(scene(*case, SPACING, PLENTY).image).dataobj)
    assert (image.min(), image.max()) == (0, GREYS - 1)


def test_many_cases_share_what_a_page_may_hold():
    assert share(1) == 1000 * MOST_KB_A_CASE
    assert 90 * share(90) <= 6_000_000 < 90 * share(1)


def test_nothing_of_a_scan_s_header_reaches_the_page(case):
    header = opened(scene(*case, SPACING, PLENTY).image).header
    assert bytes(header["descrip"]).strip(b"\0") == b""
    assert np.allclose(header.get_best_affine()[:3, 3], 0)


def test_the_library_is_the_one_that_its_notice_names():
    folder = files("dgsweep.report") / "niivue"
    notice = json.loads((folder / "NOTICE.json").read_text())
    script = gzip.decompress(base64.b64decode(library()))
    assert hashlib.sha256(script).hexdigest() == notice["sha256_of_the_script"]
    assert f'version:"{notice["version"]}"' in script.decode()
    assert notice["version"] in (folder / "LICENSES.txt").read_text()
    assert (
        json.loads((folder / "build" / "package.json").read_text())["dependencies"]["@niivue/niivue"]
        == notice["version"]
    )


def test_the_library_cannot_end_the_script_element_that_carries_it():
    assert "</script" not in gzip.decompress(base64.b64decode(library())).decode()
