"""What an import writes can be used at once, copies voxels only when asked, and lets no name through."""

import csv
import gzip
import json
import locale
import stat

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from import_trees import AFFINE, dicom, nifti, pairs, png
from typer.testing import CliRunner

from dgsweep.cli.app import app
from dgsweep.config.schema import DataConfig
from dgsweep.data.importing import ImportOptions, find_cases, write_import
from dgsweep.data.importing.pseudonyms import Pseudonyms
from dgsweep.data.manifest import read_manifest
from dgsweep.errors import InputError

PATTERNS = ImportOptions(
    image_pattern="{center}_{patient}_{sequence}.nii.gz", label_pattern="seg/{center}_{patient}_{sequence}.nii.gz"
)


def small_set(root):
    nifti(root / "A_Doe_T1.nii.gz", name="Doe^John")
    nifti(root / "seg" / "A_Doe_T1.nii.gz", label=True, name="Doe^John")
    nifti(root / "A_Roe_T1.nii.gz", name="Roe^Jane")
    return root


def rows(path):
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_a_manifest_names_the_scans_where_they_are_and_can_be_read(tmp_path):
    source = small_set(tmp_path / "set")
    written = write_import(find_cases("folder", source, PATTERNS), tmp_path / "out")
    assert (written.cases, written.copied, written.outside) == (2, 0, True)
    assert rows(written.manifest)[0]["image"] == "../set/A_Doe_T1.nii.gz"
    manifest = read_manifest(written.manifest, DataConfig(manifest=str(written.manifest), allow_outside=True))
    assert [case.info.labelled for case in manifest.cases] == [True, False]


def test_a_manifest_in_the_data_sets_own_folder_names_nothing_outside(tmp_path):
    source = small_set(tmp_path / "set")
    written = write_import(find_cases("folder", source, PATTERNS), source)
    assert not written.outside
    read_manifest(written.manifest, DataConfig(manifest=str(written.manifest)))


def test_a_copy_keeps_voxels_and_affine_and_loses_header_text(tmp_path):
    source = small_set(tmp_path / "set")
    written = write_import(find_cases("folder", source, PATTERNS), tmp_path / "out", copy=True)
    assert (written.copied, written.outside) == (3, False)
    image = nib.load(tmp_path / "out" / rows(written.manifest)[0]["image"])
    np.testing.assert_array_equal(np.asarray(image.dataobj), np.arange(120).reshape(6, 5, 4))
    np.testing.assert_allclose(image.affine, AFFINE)
    assert image.get_data_dtype() == np.int16
    for file in (tmp_path / "out").rglob("*.nii.gz"):
        assert b"Doe" not in gzip.decompress(file.read_bytes())
    assert b"Doe" in gzip.decompress((source / "A_Doe_T1.nii.gz").read_bytes())


def test_names_in_file_names_appear_nowhere_but_in_the_key_file(tmp_path):
    source, out, key = small_set(tmp_path / "set"), tmp_path / "out", tmp_path / "key.csv"
    found = find_cases("folder", source, PATTERNS)
    write_import(found, out, pseudonyms=Pseudonyms(key, out))
    for file in out.rglob("*"):
        assert "Doe" not in file.name
        if file.is_file():
            content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
            assert not any(name in content for name in (b"Doe", b"Roe"))
    assert "Doe" in key.read_text()
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    again = tmp_path / "again"
    write_import(find_cases("folder", source, PATTERNS), again, pseudonyms=Pseudonyms(key, again))
    assert rows(again / "manifest.csv") == rows(out / "manifest.csv")


def test_a_key_file_beside_the_data_is_refused(tmp_path):
    with pytest.raises(InputError, match="hides nothing"):
        Pseudonyms(tmp_path / "out" / "key.csv", tmp_path / "out")


def test_a_manifest_is_not_overwritten(tmp_path):
    source = small_set(tmp_path / "set")
    write_import(find_cases("folder", source, PATTERNS), tmp_path / "out")
    before = (tmp_path / "out" / "manifest.csv").read_text()
    with pytest.raises(InputError, match="does not overwrite"):
        write_import(find_cases("folder", source, PATTERNS), tmp_path / "out")
    assert (tmp_path / "out" / "manifest.csv").read_text() == before


@pytest.mark.parametrize("ending", [".mha", ".nrrd"])
def test_what_itk_writes_lies_where_itk_says_after_the_import(tmp_path, ending):
    image = sitk.GetImageFromArray(np.arange(120, dtype=np.int16).reshape(4, 5, 6))
    image.SetSpacing((2.0, 1.5, 4.0))
    image.SetOrigin((10.0, -20.0, 30.0))
    turn = np.deg2rad(20)
    image.SetDirection((np.cos(turn), -np.sin(turn), 0, np.sin(turn), np.cos(turn), 0, 0, 0, -1))
    (tmp_path / "set").mkdir()
    sitk.WriteImage(image, str(tmp_path / "set" / f"A_1_T1{ending}"))
    options = ImportOptions(image_pattern="{center}_{patient}_{sequence}" + ending)
    written = write_import(find_cases("folder", tmp_path / "set", options), tmp_path / "out")
    back = sitk.ReadImage(str(tmp_path / "out" / rows(written.manifest)[0]["image"]))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(back), sitk.GetArrayFromImage(image))
    for corner in ((0, 0, 0), (5, 4, 3)):
        np.testing.assert_allclose(
            back.TransformIndexToPhysicalPoint(corner), image.TransformIndexToPhysicalPoint(corner), atol=1e-4
        )


@pytest.mark.parametrize("backwards", [False, True])
def test_masks_of_slices_lie_on_the_slices_of_their_series(tmp_path, backwards):
    place = tmp_path / "set" / "Train_Sets" / "MR" / "1" / "T2SPIR"
    dicom(place / "DICOM_anon", backwards=backwards)
    for number in range(4):
        png(place / "Ground" / f"IMG-0001-{number + 1:05d}.png", 63 if number == 1 else 0, at=(0, 2))
    (case,) = find_cases("chaos", tmp_path / "set", ImportOptions()).cases
    image, label = case.image.read(), case.label.read()
    assert image.array[label.array == 1].tolist() == [1000 + 10 + 2]  # second file by name, first row, third column
    np.testing.assert_allclose(image.affine, label.affine)
    written = write_import(find_cases("chaos", tmp_path / "set", ImportOptions()), tmp_path / "out")
    assert written.cases == 1
    for file in (tmp_path / "out").rglob("*"):
        if file.suffix == ".gz":
            assert b"Planted" not in gzip.decompress(file.read_bytes())


def test_a_case_that_cannot_be_read_is_left_out_with_its_reason_and_the_others_stay(tmp_path):
    good, bad = tmp_path / "set/Train_Sets/MR/1/T2SPIR", tmp_path / "set/Train_Sets/MR/2/T2SPIR"
    dicom(good / "DICOM_anon")
    dicom(bad / "DICOM_anon")
    png(bad / "Ground" / "IMG-0001-00001.png", 63)
    written = write_import(find_cases("chaos", tmp_path / "set", ImportOptions()), tmp_path / "out")
    assert [row["case_id"] for row in rows(written.manifest)] == ["chaos_MR1_T2W"]
    assert "1 masks for 4 slices" in written.findings.errors[0].found


def test_two_series_in_one_folder_are_not_mixed(tmp_path):
    place = tmp_path / "set/Train_Sets/MR/1/T2SPIR/DICOM_anon"
    dicom(place)
    dicom(place, prefix="IMG-0002-", series="2")
    written = write_import(find_cases("chaos", tmp_path / "set", ImportOptions()), tmp_path / "out")
    assert (written.cases, written.findings.errors[0].found) == (0, "2 DICOM series")


def test_a_header_that_declares_too_much_is_refused_before_anything_is_read(tmp_path):
    (tmp_path / "set").mkdir()
    header = (
        "ObjectType = Image\nNDims = 3\nDimSize = 4000 4000 4000\nElementType = MET_SHORT\nElementDataFile = LOCAL\n"
    )
    (tmp_path / "set" / "A_1_T1.mha").write_bytes(header.encode())
    options = ImportOptions(image_pattern="{center}_{patient}_{sequence}.mha")
    written = write_import(find_cases("folder", tmp_path / "set", options), tmp_path / "out")
    assert "GiB as float32" in written.findings.errors[0].found


def test_the_verb_prints_domains_and_the_next_command(tmp_path):
    source = small_set(tmp_path / "set")
    command = ["data", "import", "folder", str(source), str(tmp_path / "out"), "--image",
               "{center}_{patient}_{sequence}.nii.gz"]  # fmt: skip
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert "A/T1" in done.output
    assert "--allow-outside" in done.output
    shown = CliRunner().invoke(app, [*command[:4], str(tmp_path / "json"), *command[5:], "--json"])
    assert json.loads(shown.stdout)["domains"] == [{"domain": "A/T1", "patients": 2, "cases": 2, "labelled": 0}]


def test_labels_of_nih_lie_on_their_scan_with_rows_from_below(tmp_path):
    person = tmp_path / "set" / "PANCREAS_0001" / "study" / "series"
    dicom(person)
    array = np.zeros((6, 5, 4), dtype=np.uint8)
    array[2, 4, 1] = 1
    (tmp_path / "set" / "labels").mkdir()
    nib.save(nib.Nifti1Image(array, np.eye(4)), tmp_path / "set" / "labels" / "label0001.nii.gz")
    (case,) = find_cases("nih_pancreas", tmp_path / "set", ImportOptions()).cases
    assert case.image.read().array[case.label.read().array == 1].tolist() == [1012]


def test_pairs_of_one_name_are_told_apart_by_their_sequence(tmp_path):
    pairs(tmp_path / "set", "A_1_T1.nii.gz", "A_1_T2.nii.gz")
    found = find_cases("folder", tmp_path / "set", PATTERNS)
    assert sorted(case.case_id for case in found.cases) == ["1_A_T1", "1_A_T2"]


def test_reading_dicom_leaves_the_process_its_locale(tmp_path):
    dicom(tmp_path / "set/Train_Sets/MR/1/T2SPIR/DICOM_anon")
    before = locale.setlocale(locale.LC_ALL)
    (case,) = find_cases("chaos", tmp_path / "set", ImportOptions()).cases
    case.image.read()
    assert locale.setlocale(locale.LC_ALL) == before
