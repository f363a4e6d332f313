"""The page of a data check: a picture of every case, the shift by domain, all findings, no network."""

import re

import nibabel as nib
import numpy as np
import pytest
from typer.testing import CliRunner

from dgsweep.cli.app import app
from dgsweep.report import data_page


@pytest.fixture
def scans(tmp_path):
    """Two sequences of three patients; the organ is dark in one and bright in the other."""
    rows = ["case_id,patient_id,image,label,center,sequence"]
    rng = np.random.default_rng(0)
    for patient in range(3):
        mask = np.zeros((20, 18, 12), np.uint8)
        mask[5:10, 6:12, 3:8] = 1
        nib.save(nib.Nifti1Image(mask, np.diag([2, 2, 3, 1])), tmp_path / f"p{patient}.nii.gz")
        for sequence, step in (("T1W", 400), ("T2W", -400)):
            image = rng.normal(1000, 50, mask.shape) + float(step) * mask
            name = f"p{patient}_{sequence}"
            nib.save(nib.Nifti1Image(image.astype(np.int16), np.diag([2, 2, 3, 1])), tmp_path / f"{name}.nii.gz")
            rows.append(f"{name},p{patient},{name}.nii.gz,p{patient}.nii.gz,A,{sequence}")
    (tmp_path / "manifest.csv").write_text("\n".join(rows) + "\n")
    return tmp_path


def page_of(scans, code=0) -> str:
    done = CliRunner().invoke(app, ["data", "check", str(scans), "--html", str(scans / "page.html")])
    assert done.exit_code == code, done.output
    return (scans / "page.html").read_text()


def test_every_case_has_a_picture_and_every_domain_a_curve(scans):
    page = page_of(scans)
    assert page.count('<img loading="lazy" src="data:image/png;base64,') == 6
    for domain in ("A/T1W", "A/T2W"):
        assert page.count(f'"name": "{domain}"') == 2
    assert "Voxels of the structures" in page


def test_the_page_asks_nobody_for_anything(scans):
    page = page_of(scans)
    own = re.sub(r"<script>/\*\*.*?</script>", "", page, flags=re.DOTALL)
    assert not re.search(r"(src|href)=\"https?:", own)


def test_problems_stand_with_their_cases_and_in_the_list(scans):
    nib.save(nib.Nifti1Image(np.full((20, 18, 12), 7, np.int16), np.diag([2, 2, 3, 1])), scans / "p0_T1W.nii.gz")
    (scans / "p1_T2W.nii.gz").write_bytes(b"cut")
    page = page_of(scans, code=2)
    assert "every voxel is 7" in page
    assert "⚠ warning: every voxel is 7" in page
    assert "p1_T2W" in page
    assert page.count("<img") == 5


def test_a_data_set_of_which_nothing_can_be_read_gives_a_page_that_says_so(tmp_path):
    (tmp_path / "manifest.csv").write_text("case_id,patient_id,image,center,sequence\na,a,none.nii.gz,A,T1\n")
    page = page_of(tmp_path, code=2)
    assert "No case could be read." in page
    assert "there is no such file" in page
    assert "Plotly" not in page


def test_markup_in_names_stays_text(scans):
    text = (scans / "manifest.csv").read_text().replace(",A,T1W", ",<b>A,T1W")
    (scans / "manifest.csv").write_text(text)
    page = page_of(scans)
    assert "<b>A" not in page
    assert "&lt;b&gt;A" in page


def test_beyond_a_number_of_cases_pictures_are_left_out_and_counted(scans, monkeypatch):
    monkeypatch.setattr(data_page, "MOST_PICTURES", 4)
    page = page_of(scans)
    assert page.count("<img") == 4
    assert "2 further cases have no picture" in page
