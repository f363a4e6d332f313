"""Importers on real public scans: the pairs of their own manifest are found again in three layouts."""

import csv
import json
import os
from pathlib import Path

import pytest

from dgsweep.config.schema import DataConfig
from dgsweep.data.check import check_manifest
from dgsweep.data.importing import ImportOptions, find_cases, write_import

REAL = Path(__file__).parents[4] / "shared" / "realdata"
FOLDERS = ("brain_openms", "spine_gmchallenge", "prostate_p158", "hippocampus_msd04")
pytestmark = pytest.mark.skipif(not REAL.is_dir(), reason="the folder shared/realdata beside the repository is absent")


def shipped(folder: Path) -> list[dict[str, str]]:
    with (folder / "manifest.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def pairs(found) -> set[tuple[str, str]]:
    return {(str(case.image.path), str(case.label.path) if case.label else "") for case in found.cases}


def laid_out(folder: Path, root: Path, place) -> set[tuple[str, str]]:
    """Links to the scans under other names; the pairs that an import should find."""
    wanted = set()
    for row in shipped(folder):
        image, label = place(row)
        for source, target in ((row["image"], root / image), (row["label"], root / label)):
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.exists():
                os.link(folder / source, target) if same_disk(folder, root) else target.write_bytes(
                    (folder / source).read_bytes()
                )
        wanted.add((str(root / image), str(root / label)))
    return wanted


def same_disk(one: Path, other: Path) -> bool:
    return one.stat().st_dev == other.stat().st_dev


@pytest.mark.parametrize("name", FOLDERS)
def test_a_pattern_finds_the_pairs_of_the_shipped_manifest(name):
    folder = REAL / name
    options = ImportOptions(image_pattern="{patient}/{sequence}.nii.gz", label_pattern="{patient}/label.nii.gz")
    found = pairs(find_cases("folder", folder, options))
    assert found >= {
        (str((folder / row["image"]).resolve()), str((folder / row["label"]).resolve())) for row in shipped(folder)
    }


def test_the_same_scans_are_found_in_nnunets_layout_and_pass_the_check(tmp_path):
    root = tmp_path.resolve() / "Dataset001"
    wanted = laid_out(
        REAL / "brain_openms", root,
        lambda row: (f"imagesTr/{row['case_id']}_0000.nii.gz", f"labelsTr/{row['case_id']}.nii.gz"),
    )  # fmt: skip
    description = {"channel_names": {"0": "MR"}, "labels": {"background": 0, "lesion": 1}, "numTraining": 6}
    (root / "dataset.json").write_text(json.dumps({**description, "file_ending": ".nii.gz"}))
    found = find_cases("nnunet", root, ImportOptions())
    assert pairs(found) == wanted
    written = write_import(found, root)
    result = check_manifest(written.manifest, DataConfig(manifest=str(written.manifest)))
    assert (result.cases, result.errors) == (6, ())


def test_the_same_scans_are_found_as_bids(tmp_path):
    root = tmp_path.resolve()
    suffixes = {"FLAIR": "FLAIR", "T1w": "T1w", "T2w": "T2w"}

    def place(row):
        subject = f"sub-{row['patient_id']}"
        suffix = suffixes[row["sequence"]]
        return f"{subject}/anat/{subject}_{suffix}.nii.gz", f"derivatives/manual/{subject}/anat/{subject}_dseg.nii.gz"

    wanted = laid_out(REAL / "brain_openms", root, place)
    assert pairs(find_cases("bids", root, ImportOptions())) == wanted
