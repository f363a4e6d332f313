"""The phantom on disk: complete or absent, the same each time, and unmoved by who else is in it."""

import csv
import hashlib
import json

import nibabel
import numpy as np
import pytest
import yaml

from dgsweep.data.phantom import PhantomSpec, make_case, write_phantom
from dgsweep.errors import InputError

SMALL = PhantomSpec(patients_per_center=1, centers=2, shape=(40, 32, 24), sequences=("T1W", "T2W"))


def _digests(folder):
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.rglob("*.nii.gz")}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return write_phantom(tmp_path_factory.mktemp("phantom") / "small", SMALL).parent


def test_the_manifest_names_every_case_and_its_files_exist(written):
    with (written / "manifest.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == ["case_id", "patient_id", "image", "label", "center", "sequence", "vendor", "field_t"]
    assert {(r["patient_id"], r["center"], r["sequence"]) for r in rows} == {
        ("P001", "C1", "T1W"), ("P001", "C1", "T2W"), ("P002", "C2", "T1W"), ("P002", "C2", "T2W"),
    }  # fmt: skip
    assert all((written / r["image"]).is_file() and (written / r["label"]).is_file() for r in rows)
    assert {r["field_t"] for r in rows} == {"3.0", "1.5"}


def test_the_dataset_file_names_the_labels_and_the_licence(written):
    about = yaml.safe_load((written / "dataset.yaml").read_text())
    assert about["labels"] == {"background": 0, "pancreas": 1}
    assert about["licence"] == "CC0-1.0"


def test_the_images_are_int16_in_ras_with_the_spacing_of_the_case(written):
    image, mask, spacing = make_case(SMALL, 2, "T2W")
    stored = nibabel.load(written / "images" / "P002_T2W.nii.gz")
    assert stored.get_data_dtype() == np.int16
    assert nibabel.aff2axcodes(stored.affine) == ("R", "A", "S")
    assert stored.header.get_zooms() == pytest.approx(spacing)
    assert np.abs(np.asarray(stored.dataobj) - image).max() <= 0.5
    assert np.array_equal(np.asarray(nibabel.load(written / "labels" / "P002_T2W.nii.gz").dataobj), mask)


def test_image_and_label_lie_in_the_same_place(written):
    image, mask = (nibabel.load(written / f / "P001_T1W.nii.gz") for f in ("images", "labels"))
    assert np.array_equal(image.affine, mask.affine)
    # The middle of the grid is the origin.
    assert image.affine @ [*(np.array(image.shape) - 1) / 2, 1] == pytest.approx([0, 0, 0, 1], abs=1e-4)


def test_a_second_folder_has_the_same_bytes(written, tmp_path):
    assert _digests(write_phantom(tmp_path / "again", SMALL).parent) == _digests(written)


def test_more_patients_and_sequences_change_no_file_of_the_others(written, tmp_path):
    more = PhantomSpec(patients_per_center=2, centers=2, shape=SMALL.shape, sequences=("OOP", "T2W", "T1W"))
    before, after = _digests(written), _digests(write_phantom(tmp_path / "more", more).parent)
    assert len(after) == 3 * len(before)
    assert {name: after[name] for name in before} == before


def test_another_seed_changes_every_file(written, tmp_path):
    other = PhantomSpec(patients_per_center=1, centers=2, shape=SMALL.shape, sequences=SMALL.sequences, seed=7)
    after = _digests(write_phantom(tmp_path / "other", other).parent)
    assert all(after[name] != digest for name, digest in _digests(written).items())


def test_writing_again_touches_nothing(written):
    image = written / "images" / "P001_T1W.nii.gz"
    stamp = image.stat().st_mtime_ns
    calls = []
    assert write_phantom(written, SMALL, progress=lambda *c: calls.append(c)) == written / "manifest.csv"
    assert image.stat().st_mtime_ns == stamp
    assert calls == []


def test_a_folder_with_another_phantom_is_refused_and_left_alone(written):
    before = _digests(written)
    with pytest.raises(InputError, match="another phantom"):
        write_phantom(written, PhantomSpec(patients_per_center=3))
    assert _digests(written) == before


def test_a_folder_with_something_else_is_refused_and_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="not a phantom"):
        write_phantom(tmp_path, SMALL)
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


def test_an_empty_folder_is_filled(tmp_path):
    out = tmp_path / "empty"
    out.mkdir()
    assert write_phantom(out, SMALL).is_file()
    assert json.loads((out / "phantom.json").read_text())["spec"]["seed"] == 0


def test_an_interrupted_write_leaves_no_folder_behind(tmp_path):
    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_phantom(tmp_path / "cut", SMALL, progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_progress_counts_every_case(tmp_path):
    calls = []
    write_phantom(tmp_path / "p", SMALL, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(1, 4), (2, 4), (3, 4), (4, 4)]
