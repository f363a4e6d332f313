"""What a manifest may say, and that everything wrong with it is told at once."""

import gzip
import os

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from dgsweep.config.schema import DataConfig
from dgsweep.data.hashes import HashStore
from dgsweep.data.manifest import read_manifest
from dgsweep.errors import ManifestError


def _problems(folder, **data):
    with pytest.raises(ManifestError) as error:
        folder.read(**data)
    assert error.value.exit_code == 2
    assert all(problem.where and problem.found and problem.fix for problem in error.value.problems)
    return [str(problem) for problem in error.value.problems]


def test_a_case_says_who_where_and_on_which_grid(folder):
    folder.case("c1", patient="p7", center="C2", sequence="T2W", affine=np.diag([-2.0, 1.0, 3.0, 1.0]), vendor="X")
    case = folder.read(target_labels=(1, 2)).cases[0]
    assert (case.info.patient_id, case.info.domain(("center", "sequence", "vendor"))) == ("p7", "C2/T2W/X")
    assert (case.info.shape, case.info.spacing_mm) == ((8, 9, 10), (2.0, 1.0, 3.0))
    assert case.image == (folder.root / "c1.nii.gz").resolve()
    assert dict(case.label_values) == {"label_1": 1, "label_2": 2}


def test_shape_and_spacing_are_those_of_the_canonical_orientation(folder):
    permuted = np.array([[0, 0, 3.0, 0], [-1.0, 0, 0, 0], [0, 2.0, 0, 0], [0, 0, 0, 1]])
    folder.case("c1", shape=(8, 9, 10), affine=permuted)
    info = folder.read().cases[0].info
    assert (info.shape, info.spacing_mm) == ((10, 8, 9), (3.0, 1.0, 2.0))


def test_an_empty_label_field_is_an_unlabelled_case(folder):
    folder.case("c1")
    folder.case("c2", label=False)
    first, second = folder.read().cases
    assert first.info.labelled
    assert first.label is not None
    assert not second.info.labelled
    assert second.label is None
    assert second.info.label_sha == ""


def test_content_decides_the_hash_and_the_name_does_not(folder):
    folder.case("c1")
    folder.case("c2")
    before = folder.read().cases
    (folder.root / "c1.nii.gz").rename(folder.root / "renamed.nii.gz")
    folder.rows[0]["image"] = "renamed.nii.gz"
    after = folder.read().cases
    assert after[0].info.image_sha == before[0].info.image_sha
    assert before[0].info.image_sha != before[1].info.image_sha


def test_parquet_and_csv_say_the_same(folder):
    folder.case("c1", age="61")
    folder.case("c2", label=False, split="test")
    from_csv = folder.read(target_labels=(1,))
    path = folder.root / "manifest.parquet"
    frame = pd.DataFrame(folder.rows).astype({"age": "Float64"})
    frame.to_parquet(path)
    from_parquet = read_manifest(path, DataConfig(manifest=str(path), target_labels=(1,)))
    assert [case.image for case in from_parquet.cases] == [case.image for case in from_csv.cases]
    assert [case.info.split for case in from_parquet.cases] == ["", "test"]
    assert [case.info.columns["age"] for case in from_parquet.cases] == ["61.0", ""]


def test_everything_wrong_is_told_at_once(folder, tmp_path):
    folder.case("ok")
    folder.case("gone")
    (folder.root / "gone.nii.gz").unlink()
    folder.case("twice")
    folder.rows.append(folder.rows[-1] | {"patient_id": "someone"})
    folder.case("cut")
    path = folder.root / "cut.nii.gz"
    path.write_bytes(path.read_bytes()[:-600])
    folder.case("shape")
    folder.nifti("shape_label.nii.gz", np.zeros((8, 9, 11), np.uint8))
    folder.case("shift")
    shifted = np.eye(4)
    shifted[2, 3] = 7.0
    folder.nifti("shift_label.nii.gz", np.zeros((8, 9, 10), np.uint8), shifted)
    folder.case("four")
    folder.nifti("four.nii.gz", np.zeros((4, 4, 4, 2), np.float32))
    folder.case("text")
    (folder.root / "text.nii.gz").write_bytes(gzip.compress(b"not a scan" * 100))
    folder.case("dicom")
    (folder.root / "dicom.dcm").write_bytes(b"x")
    folder.rows[-1]["image"] = "dicom.dcm"
    folder.case("outside")
    folder.rows[-1]["image"] = "../elsewhere.nii.gz"
    folder.case("nameless")
    folder.rows[-1] |= {"patient_id": " ", "center": "A/B"}
    folder.case("up")
    folder.rows[-1]["case_id"] = "../up"
    folder.case("half", patient="q", split="train")
    folder.case("other", patient="q", split="test")
    folder.case("odd", split="holdout")
    problems = _problems(folder, target_labels=("pancreas",))
    expected = {
        "gone": "no such file", "twice": "stands in", "cut": "cut", "shape": "11) voxels", "shift": "7.00 mm off",
        "four": "3D", "text": "no single-file NIfTI", "dicom": "no NIfTI by its name", "outside": "leaves the manifest",
        "nameless": "field is empty", "A/B": "/ + *", "../up": "cannot name a file", "q": "same patient",
        "holdout": "train, val, test", "pancreas": "no label", "someone": "different patients",
    }  # fmt: skip
    missing = [name for name, text in expected.items() if not any(text in problem for problem in problems)]
    assert not missing
    assert len(problems) == len(expected)
    assert not any("case ok" in problem for problem in problems)
    assert any("manifest.csv line 3, case gone" in problem for problem in problems)


def test_a_sound_manifest_has_no_problem(folder):
    folder.case("ok")
    assert len(folder.read(target_labels=(1,)).cases) == 1


@pytest.mark.parametrize("image", ["../c1.nii.gz", "sub/../../c1.nii.gz", "{absolute}", "link.nii.gz"])
def test_a_path_that_leaves_the_folder_needs_permission(folder, image):
    folder.case("c1", label=False)
    folder.case("c2")
    outside = (folder.root / "c1.nii.gz").rename(folder.root.parent / "c1.nii.gz")
    (folder.root / "link.nii.gz").symlink_to(outside)
    (folder.root / "sub").mkdir()
    folder.rows[0]["image"] = image.format(absolute=outside)
    assert ["leaves the manifest's folder" in problem for problem in _problems(folder)] == [True]
    assert folder.read(allow_outside=True).cases[0].image == outside.resolve()


@pytest.mark.parametrize("name", ["x" * 5000 + ".nii.gz", "a\0b.nii.gz"])
def test_a_path_that_no_system_takes_is_a_problem_not_a_traceback(folder, name):
    folder.case("c1")
    folder.rows[-1]["image"] = name
    assert len(_problems(folder, target_labels=(1,))) == 1


def test_a_missing_column_is_named_with_the_one_that_was_meant(folder):
    folder.case("c1")
    folder.rows[0]["Patient ID"] = folder.rows[0].pop("patient_id")
    assert any("'patient_id' is missing -> rename the column 'Patient ID'" in problem for problem in _problems(folder))


@pytest.mark.parametrize("content", [b"", b"case_id;patient_id\n1;2\n", b"\xff\xfe\x00x", b'a,"b\n', b"case_id\n"])
def test_a_table_that_is_none_is_a_problem_not_a_traceback(tmp_path, content):
    path = tmp_path / "manifest.csv"
    path.write_bytes(content)
    with pytest.raises(ManifestError):
        read_manifest(path, DataConfig(manifest=str(path)))


@pytest.mark.parametrize("name", ["absent.csv", "manifest.xlsx", "damaged.parquet"])
def test_a_manifest_that_cannot_be_opened_is_named(tmp_path, name):
    if name != "absent.csv":
        (tmp_path / name).write_bytes(b"PAR1 nonsense")
    with pytest.raises(ManifestError, match=name):
        read_manifest(tmp_path / name, DataConfig(manifest=name))


def test_a_row_with_too_many_fields_is_named_by_its_line(folder):
    folder.case("c1")
    path = folder.write()
    path.write_text(path.read_text() + "a,b,c,d,e,f,g,h\n")
    with pytest.raises(ManifestError, match="line 3: 8 fields under 6 columns"):
        read_manifest(path, DataConfig(manifest=str(path), target_labels=(1,)))


def test_without_names_each_value_present_is_a_structure(folder):
    folder.case("c1")
    assert dict(folder.read().labels) == {"label_1": 1, "label_2": 2}


def test_without_a_choice_every_named_label_but_background_is_a_structure(folder):
    folder.case("c1")
    folder.dataset(name="toy", licence="CC0", labels={"background": 0, "head": 1, "tail": 2, "duct": 9})
    manifest = folder.read()
    assert dict(manifest.labels) == {"head": 1, "tail": 2, "duct": 9}
    assert (manifest.name, manifest.licence) == ("toy", "CC0")


def test_target_labels_choose_by_name_or_value_in_their_own_order(folder):
    folder.case("c1")
    folder.dataset(labels={"background": 0, "head": 1, "tail": 2})
    assert list(folder.read(target_labels=("tail", 1)).labels.items()) == [("tail", 2), ("head", 1)]


def test_an_unknown_label_is_answered_with_the_nearest_name(folder):
    folder.case("c1")
    folder.dataset(labels={"background": 0, "pancreas": 1, "liver": 2})
    (problem,) = _problems(folder, target_labels=("pancraes",))
    assert "did you mean 'pancreas'?" in problem


def test_a_domain_may_have_its_own_values(folder):
    folder.case("c1", center="A")
    folder.case("c2", center="B")
    mask = np.ones((8, 9, 10), np.uint8)
    mask[0] = 7
    folder.nifti("c2_label.nii.gz", mask)
    folder.dataset(labels={"background": 0, "head": 1, "tail": 2}, label_map={"B/*": {"tail": 7}})
    first, second = folder.read().cases
    assert dict(first.label_values) == {"head": 1, "tail": 2}
    assert dict(second.label_values) == {"head": 1, "tail": 7}


@pytest.mark.parametrize(
    "content",
    [
        "[1, 2",
        "- 1",
        "labels: [a]",
        "labels: {a: x}",
        "labels: {a: 1, b: 1}",
        "labels: {a: 1}\nlabel_map: {x: {b: 2}}",
        "!!python/object/apply:os.system ['true']",
    ],
)
def test_a_wrong_dataset_file_is_a_problem_not_a_traceback(folder, content):
    folder.case("c1")
    (folder.root / "dataset.yaml").write_text(content)
    assert any("dataset.yaml" in problem for problem in _problems(folder))


def test_an_image_cut_within_an_uncompressed_file_is_found(folder):
    folder.case("c1")
    image = nib.load(folder.root / "c1.nii.gz")
    nib.save(image, folder.root / "plain.nii")
    folder.rows[0]["image"] = "plain.nii"
    whole = (folder.root / "plain.nii").read_bytes()
    assert folder.read().cases
    (folder.root / "plain.nii").write_bytes(whole[:-1])
    (problem,) = _problems(folder, target_labels=(1,))
    assert f"holds {len(whole) - 1} bytes, its header declares {len(whole)}" in problem


def test_a_second_reading_with_a_hash_store_does_not_open_the_voxels(folder):
    folder.case("c1")
    for path in folder.root.iterdir():
        os.utime(path, (1_000_000, 1_000_000))
    path, store = folder.write(), HashStore(folder.root.parent / "hashes.json")
    first = read_manifest(path, DataConfig(manifest=str(path)), hashes=store)
    scan = folder.root / "c1.nii.gz"
    scan.write_bytes(scan.read_bytes()[:-40] + b"\0" * 40)  # damage that only a full reading would see
    os.utime(scan, (1_000_000, 1_000_000))
    again = read_manifest(path, DataConfig(manifest=str(path)), hashes=HashStore(folder.root.parent / "hashes.json"))
    assert again.cases[0].info == first.cases[0].info
    with pytest.raises(ManifestError):
        read_manifest(path, DataConfig(manifest=str(path)))


def test_nan_voxels_are_refused_before_anything_is_planned_and_remembered_by_content(folder):
    folder.case("whole")
    folder.case("holed")
    array = np.ones((8, 9, 10), np.float32)
    array[:2] = np.nan
    folder.nifti("holed.nii.gz", array)
    assert [text for text in _problems(folder) if "180 voxels are NaN or infinite" in text and "case holed" in text]
    folder.nifti("holed.nii.gz", np.ones((8, 9, 10), np.float32))
    assert len(folder.read().cases) == 2


def test_a_value_that_dataset_yaml_does_not_name_stops_the_sweep(folder):
    folder.case("c1")
    folder.dataset(labels={"background": 0, "head": 1})
    (problem,) = _problems(folder)
    assert "values that dataset.yaml does not name: 2" in problem
    folder.dataset(labels={"background": 0, "head": 1, "tail": 2})
    assert folder.read().cases


def test_a_structure_that_is_asked_for_and_occurs_nowhere_stops_the_sweep(folder):
    folder.case("c1")
    (problem,) = _problems(folder, target_labels=(5,))
    assert "no label file holds label_5 (5)" in problem
    assert "1, 2" in problem
    assert folder.read(target_labels=(2,)).cases


def test_one_scan_under_two_patients_stops_the_sweep(folder):
    folder.case("a", patient="p1")
    folder.case("b", patient="p2")
    assert folder.read().cases
    (folder.root / "b.nii.gz").write_bytes((folder.root / "a.nii.gz").read_bytes())
    (problem,) = _problems(folder)
    assert "the same image under different patients" in problem
