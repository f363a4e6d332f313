"""Second readings in the manifest: checked as labels are, and kept away from everything that trains or scores."""

import numpy as np
import pytest

from dgsweep.config.schema import DataConfig
from dgsweep.data.check import check_manifest
from dgsweep.data.manifest import read_manifest
from dgsweep.errors import ManifestError


def mask(*, shape=(8, 9, 10), value=1, more=0):
    array = np.zeros(shape, np.uint8)
    array[2 : 5 + more, 2:6, 2:7] = value
    return array


@pytest.fixture
def twice(folder):
    """One case with a first reading, and `again(column, array)` to add a second one."""
    row = folder.case("c1")
    folder.dataset(labels={"pancreas": 1, "duodenum": 2})

    def again(column="label_inter", array=None, affine=None):
        folder.nifti(f"c1_{column}.nii.gz", mask(more=1) if array is None else array, affine)
        row[column] = f"c1_{column}.nii.gz"
        return folder

    again.row, again.folder = row, folder
    return again


def found(folder, severity="error"):
    path = folder.write()
    result = check_manifest(path, DataConfig(manifest=str(path)))
    return [str(one) for one in result.findings if one.severity == severity]


def test_both_kinds_of_observers_are_told_apart(twice):
    twice("label_inter")
    second = twice("label_intra").read().second_labels
    assert [(one.case_id, one.observer) for one in second] == [("c1", "inter"), ("c1", "intra")]


def test_a_manifest_without_the_columns_has_no_second_reading(folder):
    folder.case("c1")
    assert folder.read().second_labels == ()


def test_a_second_reading_on_another_grid_is_an_error(twice):
    assert found(twice()) == []
    assert "(8, 9, 11) voxels" in found(twice(array=mask(shape=(8, 9, 11))))[0]


def test_a_second_reading_that_lies_beside_its_image_is_an_error(twice):
    moved = np.eye(4)
    moved[0, 3] = 4.0
    assert "column label_inter" in found(twice(affine=moved))[0]


def test_a_second_reading_may_not_leave_the_folder_unless_allowed(twice):
    folder = twice()
    (folder.root / "c1_label_inter.nii.gz").rename(folder.root.parent / "away.nii.gz")
    twice.row["label_inter"] = "../away.nii.gz"
    assert "leaves the manifest's folder" in found(folder)[0]
    path = folder.write()
    assert len(read_manifest(path, DataConfig(manifest=str(path), allow_outside=True)).second_labels) == 1


def test_a_second_reading_needs_a_first(twice):
    folder = twice()
    twice.row["label"] = ""
    assert "no label to compare it with" in found(folder)[0]


def test_values_that_nothing_names_are_an_error_in_a_second_reading_too(twice):
    assert "does not name: 9" in found(twice(array=mask(value=9)))[0]


def test_a_copy_of_the_first_reading_is_pointed_out(twice):
    twice.row["label_inter"] = twice.row["label"]
    assert any("is it a copy?" in text for text in found(twice.folder, "warning"))
    assert found(twice.folder) == []


def test_second_readings_name_no_structure_to_segment(twice):
    folder = twice(array=mask(value=5))
    (folder.root / "dataset.yaml").unlink()
    assert set(folder.read().labels) == {"label_1", "label_2"}


def test_a_missing_second_reading_keeps_the_data_from_use(twice):
    folder = twice()
    (folder.root / "c1_label_inter.nii.gz").unlink()
    with pytest.raises(ManifestError, match="there is no such file"):
        folder.read()


def test_no_case_knows_of_its_second_reading(twice):
    case = twice().read().cases[0]
    files = [value for value in vars(case).values() if str(value).endswith(".nii.gz")]
    assert {path.name for path in files} == {"c1.nii.gz", "c1_label.nii.gz"}
