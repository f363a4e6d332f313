"""The data check sees what the voxels tell, and never ends in a traceback."""

import nibabel as nib
import numpy as np
import pytest

from dgsweep.config.schema import DataConfig
from dgsweep.data.check import check_manifest


def _check(folder, **data):
    path = folder.write()
    return check_manifest(path, DataConfig(manifest=str(path), **data))


def _texts(result, severity):
    return [str(finding) for finding in result.findings if finding.severity == severity]


def test_a_sound_data_set_has_no_finding(folder):
    for number in range(4):
        folder.case(f"c{number}")
    folder.dataset(labels={"background": 0, "head": 1, "tail": 2})
    result = _check(folder)
    assert result.findings == ()
    assert result.cases == 4


def test_nan_empty_labels_and_unnamed_values_are_found_at_once(folder):
    folder.dataset(labels={"background": 0, "head": 1, "tail": 2})
    folder.case("nan")
    folder.nifti("nan.nii.gz", np.full((8, 9, 10), np.nan, np.float32))
    folder.case("empty")
    folder.nifti("empty_label.nii.gz", np.zeros((8, 9, 10), np.uint8))
    folder.case("stray")
    stray = np.ones((8, 9, 10), np.uint8)
    stray[0, 0, 0] = 200
    folder.nifti("stray_label.nii.gz", stray)
    folder.case("gone", label=False)
    (folder.root / "gone.nii.gz").unlink()
    result = _check(folder)
    errors = _texts(result, "error")
    assert sorted(finding.case_id for finding in result.errors) == ["gone", "nan", "stray"]
    assert any("720 voxels are NaN" in text for text in errors)
    assert any("does not name: 200" in text for text in errors)
    empty, nowhere = _texts(result, "warning")[::-1]
    assert "case empty" in empty
    assert "no voxel of head, tail" in empty
    assert "no label file holds tail (2)" in nowhere


def test_one_scan_under_two_patients_is_an_error_and_twice_under_one_a_warning(folder):
    folder.case("a", patient="p1")
    folder.case("b", patient="p2")
    folder.case("c", patient="p2")
    for name in ("b", "c"):
        (folder.root / f"{name}.nii.gz").write_bytes((folder.root / "a.nii.gz").read_bytes())
    assert any("different patients" in text for text in _texts(_check(folder), "error"))
    folder.rows[0]["patient_id"] = "p2"
    result = _check(folder)
    assert not result.errors
    assert any("twice" in text for text in _texts(result, "warning"))


def test_a_voxel_size_unlike_its_domain_is_pointed_out(folder):
    for number in range(4):
        folder.case(f"c{number}", affine=np.diag([1.0, 1.0, 2.0, 1.0]))
    assert not _check(folder).findings
    folder.case("odd", affine=np.diag([1.0, 1.0, 20.0, 1.0]))
    texts = _texts(_check(folder), "warning")
    texts = [text for text in texts if "image:" in text]
    assert len(texts) == 2
    assert all("case odd" in text for text in texts)


def test_a_header_that_contradicts_itself_is_pointed_out(folder):
    folder.case("c1", label=False)
    image = nib.Nifti1Image(np.random.default_rng(0).normal(size=(8, 9, 10)), np.eye(4))
    image.set_sform(np.diag([1.0, 1.0, 1.0, 1.0]), code=1)
    turned = np.array([[0, -1.0, 0, 40.0], [1.0, 0, 0, 0], [0, 0, 1.0, 0], [0, 0, 0, 1]])
    image.set_qform(turned, code=1)
    nib.save(image, folder.root / "c1.nii.gz")
    assert any("sform and qform differ" in text for text in _texts(_check(folder, target_labels=(1,)), "warning"))


@pytest.mark.parametrize("content", ["", "nonsense", "case_id,patient_id,image,center,sequence\n,,,,\n"])
def test_a_manifest_that_is_none_is_an_error_finding(folder, content):
    folder.manifest.write_text(content)
    result = check_manifest(folder.manifest, DataConfig(manifest="manifest.csv"))
    assert result.errors
    assert result.cases == 0
