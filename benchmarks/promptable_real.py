"""A manifest of real scans for the small promptable model of ours: one structure each, everything written under runs/.

The scans lie in ../shared/realdata (see its README for provenance and licences) and are not part of the project;
nothing made of them is committed but numbers. Label maps are rewritten so that every scan has one structure, `organ`:
the prostate, or the pancreas. Where the scans are not there, the manifest is not written, and the page says so.

    python benchmarks/promptable_real.py
"""

import csv
import sys
from collections.abc import Iterator
from pathlib import Path

import evidence
import nibabel as nib
import numpy as np

COLLECTIONS = evidence.ROOT.parent / "shared" / "realdata"
FOLDER = evidence.ROOT / "runs" / "promptable" / "real"
STRUCTURES = {"prostate_mrus": 1, "prostate_p158": 1, "abdomen_totalseg": 7}
"""Collection -> value of the prostate, or of the pancreas, in its label maps."""
SOURCE, TRAIN, VAL = "prostate_mrus", 5, 2
"""Patients of the only collection with enough of them, for the trained method whose prediction gives boxes; the rest,
and all of the other collections, are for testing."""
DATASET = """name: real scans for a small promptable model
licence: several, see ../shared/realdata/README.md; for internal use
labels: {background: 0, organ: 1}
"""
Row = dict[str, str]


def main() -> None:
    """Write labels and manifest, or say what is missing."""
    missing = [name for name in STRUCTURES if not (COLLECTIONS / name / "manifest.csv").exists()]
    if missing:
        print(f"no real scans: {', '.join(missing)} not in {COLLECTIONS}", file=sys.stderr)
        return
    rows = [row for name in STRUCTURES for row in _rows(name)]
    (FOLDER / "dataset.yaml").write_text(DATASET, encoding="utf-8")
    with (FOLDER / "manifest.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    print(f"written: {FOLDER / 'manifest.csv'}, {len(rows)} scans", file=sys.stderr)


def _rows(collection: str) -> Iterator[Row]:
    folder = COLLECTIONS / collection
    with (folder / "manifest.csv").open(encoding="utf-8") as stream:
        read = list(csv.DictReader(stream))
    roles = _roles(collection, list(dict.fromkeys(row["patient_id"] for row in read)))
    for row in read:
        case_id = f"{collection}_{row['case_id']}"
        yield {
            "case_id": case_id,
            "patient_id": row["patient_id"],
            "image": str(folder / row["image"]),
            "label": str(_label(folder / row["label"], STRUCTURES[collection], case_id)),
            "center": row["center"],
            "sequence": row["sequence"],
            "split": roles[row["patient_id"]],
        }


def _roles(collection: str, patients: list[str]) -> dict[str, str]:
    if collection != SOURCE:
        return dict.fromkeys(patients, "test")
    names = ["train"] * TRAIN + ["val"] * VAL
    return dict(zip(patients, names + ["test"] * (len(patients) - len(names)), strict=True))


def _label(path: Path, value: int, case_id: str) -> Path:
    made = FOLDER / "labels" / f"{case_id}.nii.gz"
    made.parent.mkdir(parents=True, exist_ok=True)
    if not made.exists():
        image = nib.load(path)
        binary = (np.asarray(image.dataobj) == value).astype(np.uint8)
        nib.save(nib.Nifti1Image(binary, image.affine), made)
    return made


if __name__ == "__main__":
    main()
