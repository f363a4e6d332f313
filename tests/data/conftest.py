"""Small data sets on disk, written by nibabel alone."""

import csv
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import yaml

from dgsweep.config.schema import DataConfig
from dgsweep.data.manifest import read_manifest


class Folder:
    """A data set in the making: rows are dicts, files are written as they are added."""

    def __init__(self, root: Path) -> None:
        self.root, self.rows = root, []

    @property
    def manifest(self) -> Path:
        return self.root / "manifest.csv"

    def nifti(self, name, array, affine=None):
        path = self.root / name
        nib.save(nib.Nifti1Image(array, np.eye(4) if affine is None else affine), path)
        return path

    def case(
        self, case_id, *, patient=None, center="A", sequence="T1", shape=(8, 9, 10), affine=None, label=True, **more
    ):
        number = len(self.rows)
        rng = np.random.default_rng(number)
        self.nifti(f"{case_id}.nii.gz", rng.normal(100, 10, shape).astype(np.float32), affine)
        row = {"case_id": case_id, "patient_id": patient or f"p{number}", "image": f"{case_id}.nii.gz"}
        row |= {"center": center, "sequence": sequence, "label": ""}
        if label:
            mask = np.zeros(shape, np.uint8)
            mask[2:5, 2:6, 2:7] = 1
            mask[5:7, 2:6, 2:7] = 2
            self.nifti(f"{case_id}_label.nii.gz", mask, affine)
            row["label"] = f"{case_id}_label.nii.gz"
        self.rows.append(row | more)
        return self.rows[-1]

    def dataset(self, **content):
        (self.root / "dataset.yaml").write_text(yaml.safe_dump(content))

    def write(self):
        columns = list(dict.fromkeys(name for row in self.rows for name in row))
        with self.manifest.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, columns)
            writer.writeheader()
            writer.writerows(self.rows)
        return self.manifest

    def read(self, **data):
        path = self.write()
        return read_manifest(path, DataConfig(manifest=str(path), **data))


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "set").mkdir()
    return Folder(tmp_path / "set")
