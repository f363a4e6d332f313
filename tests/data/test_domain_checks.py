"""What a check finds by comparing cases and domains, each beside a data set without the problem."""

import nibabel as nib
import numpy as np
import pytest

from dgsweep.config.schema import DataConfig
from dgsweep.data.case_facts import may_name_somebody
from dgsweep.data.check import check_manifest

GOOD = np.diag([2.0, 2.0, 3.0, 1.0])


def told(folder) -> list[tuple[str, str]]:
    path = folder.write()
    result = check_manifest(path, DataConfig(manifest=str(path)))
    return [(finding.severity, f"{finding.where}: {finding.found}") for finding in result.findings]


def having(found, text) -> list[str]:
    return [severity for severity, line in found if text in line]


def test_centers_that_use_other_label_values_are_told_apart(folder):
    for number in range(3):
        folder.case(f"a{number}", center="A", affine=GOOD)
    assert not having(told(folder), "do not occur")
    for number in range(3):
        row = folder.case(f"b{number}", center="B", affine=GOOD)
        mask = np.zeros((8, 9, 10), np.uint8)
        mask[2:5, 2:6, 2:7] = 7
        folder.nifti(row["label"], mask, GOOD)
    assert having(told(folder), "values [7] do not occur in A/T1") == ["warning"]


def test_a_scan_in_another_unit_is_noticed(folder):
    for number in range(4):
        folder.case(f"a{number}", affine=GOOD)
    assert not having(told(folder), "median range")
    bright = np.random.default_rng(9).normal(1e6, 1e5, (8, 9, 10)).astype(np.float32)
    folder.nifti("a3.nii.gz", bright, GOOD)
    assert having(told(folder), "case a3, image: intensities from") == ["warning"]


def test_a_structure_that_is_far_too_small_is_noticed(folder):
    for number in range(4):
        folder.case(f"a{number}", affine=GOOD)
    assert not having(told(folder), "the median of A/T1")
    mask = np.zeros((8, 9, 10), np.uint8)
    mask[2, 2, 2], mask[5:7, 2:6, 2:7] = 1, 2
    folder.nifti("a3_label.nii.gz", mask, GOOD)
    assert having(told(folder), "case a3, label: label_1 has 0.01 ml") == ["warning"]


def test_mixed_orientations_oblique_and_left_handed_files_are_notes_and_no_problems(folder):
    turn = np.deg2rad(20)
    oblique = GOOD.copy()
    oblique[:2, :2] = 2 * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    folder.case("plain", affine=GOOD)
    assert not having(told(folder), "orientation")
    folder.case("oblique", affine=oblique)
    folder.case("flipped", affine=GOOD @ np.diag([-1.0, 1, 1, 1]))
    found = told(folder)
    assert having(found, "files are stored as 2 RAS, 1 LAS") == ["note"]
    assert having(found, "1 oblique scans, up to 20 degrees (oblique)") == ["note"]
    assert having(found, "1 left-handed files among 3, first flipped") == ["note"]


def test_header_text_is_told_by_its_field_and_never_repeated(folder):
    folder.case("a", affine=GOOD)
    assert not having(told(folder), "may name somebody")
    path = folder.root / "a.nii.gz"
    image = nib.load(path)
    array = np.asarray(image.dataobj)
    named = nib.Nifti1Image(array, image.affine)
    named.header["descrip"] = b"Doe^John"
    named.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"Doe^John"))
    nib.save(named, path)
    found = told(folder)
    assert having(found, "case a, header: text in image descrip, image extension") == ["warning"]
    assert not any("Doe" in line for _, line in found)


@pytest.mark.parametrize(
    ("text", "named"), [("FSL5.0", False), ("TE=2.3;Time=1", False), ("", False), ("Roe Jane", True)]
)
def test_what_programs_write_is_no_name(text, named):
    assert may_name_somebody(text) is named
