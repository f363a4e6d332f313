"""Pictures of single cases: whose outline they show, and what stands in their place when there is none."""

import base64
import io
import json
import re
from dataclasses import replace

import matplotlib.image
import nibabel as nib
import numpy as np
import pytest
from report_sweep import write_case_files

from dgsweep.records.ledger import Ledger
from dgsweep.report import write_report
from dgsweep.report.overlays import draw

SPACING = (2.0, 2.0, 4.0)


def pictures_of(output):
    """The section of the pictures."""
    page = write_report(output).read_text(encoding="utf-8")
    return re.search(r'<section id="pictures">.*?</section>', page, flags=re.DOTALL).group()


def drawn(section):
    return section.count("data:image/png;base64,")


@pytest.fixture
def output(build):
    """A sweep with scans, labels and kept masks."""
    folder = build()
    write_case_files(folder, Ledger(folder).read_plan())
    return folder


def rewrite(path, change):
    """Put `change(voxels)` in the place of a file's voxels."""
    old = nib.load(path)
    voxels = change(np.asarray(old.dataobj))
    nib.save(nib.Nifti1Image(voxels, old.affine), path)


def pixels(uri):
    """Picture (row, column, RGB) from 0 to 255."""
    return (matplotlib.image.imread(io.BytesIO(base64.b64decode(uri.partition(",")[2])))[..., :3] * 255).round()


def coloured(picture, colour, tolerance=40):
    """How many pixels have about this colour."""
    return int((np.abs(picture - np.array(colour)).max(axis=-1) < tolerance).sum())


ORANGE = (0xE6, 0x9F, 0x00)
"""The reference's outline."""


def test_a_page_is_written_when_every_scored_reference_is_empty(output):
    ledger = Ledger(output)
    for spec in ledger.read_plan().trials:
        rows = ledger.valid_cases(spec)
        ledger.write_cases(spec.trial_id, rows.assign(empty_reference=True))
        ledger.finish(spec.trial_id, spec)
    section = pictures_of(output)
    assert "Every scored reference is empty" in section
    assert drawn(section) == 0


def test_scans_with_one_slice_are_drawn_with_their_outlines():
    image = np.zeros((20, 20, 1), dtype=np.float32)
    inside = np.zeros(image.shape, dtype=bool)
    inside[5:12, 6:14] = True
    with_outline = pixels(draw(image, inside, inside, SPACING))
    without = pixels(draw(image, ~inside & inside, ~inside & inside, SPACING))
    assert coloured(with_outline, ORANGE) > 50
    assert coloured(without, ORANGE) == 0


def test_a_picture_that_cannot_be_drawn_is_named_and_the_others_are_drawn(output):
    assert "not drawn" not in pictures_of(output)
    (output.parent / "data" / "P01-T2W.nii.gz").write_bytes(b"no gzip at all")
    rewrite(output.parent / "data" / "P02-T2W.nii.gz", lambda voxels: voxels[:0])
    section = pictures_of(output)
    assert section.count("not drawn: ") >= 2
    assert drawn(section) > 0


def first_picture(section):
    """Pixels of the first picture of P00's T2W scan."""
    found = re.findall(r'<img src="([^"]+)" alt="[^"]*case P00-T2W', section)
    return pixels(found[0])


def test_the_outline_is_of_the_case_s_own_label_value(output):
    """Value 7 is the organ in this domain, and value 1 another one with a far longer outline."""
    usual = coloured(first_picture(pictures_of(output)), ORANGE)

    def renumbered(label):
        other = np.ones_like(label)
        other[::2] = 0
        return np.where(label == 1, 7, other).astype(np.uint8)

    rewrite(output.parent / "data" / "P00-T2W-label.nii.gz", renumbered)
    wrong = coloured(first_picture(pictures_of(output)), ORANGE)
    listed = json.loads((output / "cases.json").read_text())
    listed["P00-T2W"]["label_values"] = {"pancreas": 7, "liver": 1}
    (output / "cases.json").write_text(json.dumps(listed))
    right = coloured(first_picture(pictures_of(output)), ORANGE)
    assert right == usual
    assert wrong > 2 * usual


def test_deleted_predictions_are_not_blamed_on_a_setting_that_keeps_none(output, edit_plan):
    for path in output.glob("trials/*/predictions/*"):
        path.unlink()
    section = pictures_of(output)
    assert "output_keep: extremes" in section
    assert "none lies in trials/&lt;id&gt;/predictions" in section
    specs = Ledger(output).read_plan().trials
    edit_plan(output, trials=tuple(replace(spec, output_keep="none") for spec in specs))
    assert "No prediction was kept (output_keep: none)" in pictures_of(output)
