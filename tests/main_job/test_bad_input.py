"""Wrong input through the command line: exit 2, a sentence that says what to do, no traceback, nothing half-written."""

import gzip
import shutil

import nibabel as nib
import numpy as np
import pandas as pd
import pytest


@pytest.fixture
def bad(desk, small_phantom):
    """A desk whose scans may be spoiled."""
    scans = desk.folder / "scans"
    shutil.copytree(small_phantom.parent, scans)
    desk.content["data"]["manifest"] = str(scans / "manifest.csv")
    desk.scans = scans
    return desk


def refused(desk, run=None) -> str:
    """What a refused run says."""
    desk.write()
    done = (run or desk.call)(*desk.inline())
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert not desk.output.exists()
    return done.stderr


def edited(desk, change) -> None:
    table = pd.read_csv(desk.scans / "manifest.csv", dtype=str)
    change(table).to_csv(desk.scans / "manifest.csv", index=False)


def respoiled(path, change, affine=None) -> None:
    image = nib.load(path)
    voxels = change(np.asarray(image.dataobj).astype(np.float32))
    nib.save(nib.Nifti1Image(voxels, image.affine if affine is None else affine), path)


def some(desk, folder: str):
    return sorted((desk.scans / folder).glob("*.nii.gz"))[0]


def test_every_missing_file_is_named_at_once(bad) -> None:
    gone = sorted((bad.scans / "images").glob("*"))[:3]
    for path in gone:
        path.unlink()
    said = refused(bad, bad.run)  # the whole way, in a process of its own
    assert all(path.name in said for path in gone)


def test_a_label_of_another_shape_is_named(bad) -> None:
    respoiled(some(bad, "labels"), lambda voxels: voxels[:-2])
    assert "the label has" in refused(bad)


def test_a_label_of_another_affine_is_named(bad) -> None:
    path = some(bad, "labels")
    affine = nib.load(path).affine.copy()
    affine[0, 3] += 30
    respoiled(path, lambda voxels: voxels, affine)
    assert "the label lies up to 30.00 mm off its image" in refused(bad)


def test_a_missing_column_is_named(bad) -> None:
    edited(bad, lambda table: table.drop(columns="center"))
    assert "the column 'center' is missing" in refused(bad)


def test_duplicate_case_ids_are_named(bad) -> None:
    edited(bad, lambda table: pd.concat([table, table.head(2)]))
    assert refused(bad).count("stands in manifest.csv line") == 2


def test_nan_voxels_are_counted(bad) -> None:
    respoiled(some(bad, "images"), lambda voxels: np.where(voxels > voxels.mean(), np.nan, voxels))
    assert "voxels are NaN or infinite" in refused(bad)


def test_a_truncated_file_is_named(bad) -> None:
    path = some(bad, "images")
    path.write_bytes(path.read_bytes()[:-2000])
    assert path.name in refused(bad)


def test_a_spacing_of_zero_is_named(bad) -> None:
    path = some(bad, "images")
    header = bytearray(gzip.decompress(path.read_bytes()))
    header[80:92] = np.zeros(3, "<f4").tobytes()  # pixdim
    header[252:256] = bytes(4)  # qform and sform codes
    path.write_bytes(gzip.compress(bytes(header)))
    assert "voxel size" in refused(bad)


def test_a_source_without_labels_is_named(bad) -> None:
    edited(bad, lambda table: table.assign(label=table["label"].where(table["sequence"] != "T1W")))
    assert "no case of C1/T1W has a label" in refused(bad)


def test_a_path_out_of_the_folder_is_refused(bad) -> None:
    edited(bad, lambda table: table.assign(image=["../../outside.nii.gz", *table["image"][1:]]))
    assert "leaves the manifest's folder" in refused(bad)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sedes": [0]}, "did you mean `seeds`?"),
        ({"budget": {"step": 5}}, "did you mean `steps`?"),
        ({"methods": ["erm", "ginn"]}, "did you mean `gin`?"),
        ({"methods": [{"name": "gin", "hp": {"layrs": 2}}]}, "did you mean `layers`?"),
        ({"networks": ["unet_tyni"]}, "did you mean `unet_tiny`?"),
        ({"protocol": {"kind": "explicit", "splits": [{"sources": ["*/T1W"], "targets": ["C9/*"]}]}},
         "'C9/*' matches no domain"),
        ({"protocol": {"kind": "cross_sequence", "factors": ["center", "vendorr"]}}, "did you mean `vendor`?"),
        ({"resources": {"gpus_per_trial": 64}}, "resources"),
        ({"resources": {"cpus_per_trial": 4096}}, "no machine can give a trial what it asks for"),
    ],
)  # fmt: skip
def test_a_wrong_sweep_file_is_refused_with_what_to_write(bad, change, said) -> None:
    bad.content |= change
    assert said in refused(bad)


def test_sources_of_fewer_than_two_patients_are_refused(bad) -> None:
    first = pd.read_csv(bad.scans / "manifest.csv", dtype=str)["patient_id"][0]
    edited(bad, lambda table: table[(table["sequence"] != "T1W") | (table["patient_id"] == first)])
    assert "they pool to 1 labelled patient(s)" in refused(bad)


def test_a_disk_too_small_for_the_cache_is_refused_before_any_work(bad) -> None:
    bad.content["data"]["spacing_mm"] = [0.04, 0.04, 0.04]
    assert "disk" in refused(bad)


def test_an_output_that_was_there_stays_when_a_run_is_refused(bad) -> None:
    bad.output.mkdir()
    (bad.output / "mine.txt").touch()
    bad.write(resources={"cpus_per_trial": 4096})
    assert bad.sweep().returncode == 2
    assert (bad.output / "mine.txt").exists()
