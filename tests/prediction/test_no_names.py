"""A name planted in headers and sidecars appears in nothing that a sweep, a report, MLflow or a prediction leaves."""

import gzip
import shutil

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from dgsweep.cli.app import app

NAME = "Plantedname^Somebody"


def plant(path) -> None:
    image = nib.load(path)
    named = nib.Nifti1Image(np.asarray(image.dataobj), image.affine)
    named.header["descrip"] = NAME.encode()
    named.header["aux_file"] = NAME.encode()
    named.header.extensions.append(nib.nifti1.Nifti1Extension("comment", NAME.encode()))
    nib.save(named, path)


@pytest.fixture(scope="module")
def left_behind(tmp_path_factory, phantom, empty_database):
    """Folder with everything but the scans, and what was printed."""
    root = tmp_path_factory.mktemp("named")
    scans, work = root / "scans", root / "work"
    shutil.copytree(phantom.parent, scans)
    work.mkdir()
    shutil.copyfile(empty_database, work / "mlflow.db")
    for path in scans.rglob("*.nii.gz"):
        plant(path)
        path.with_name(path.name.replace(".nii.gz", ".json")).write_text(f'{{"PatientName": "{NAME}"}}')
    content = {
        "name": "named",
        "data": {"manifest": str(scans / phantom.name), "spacing_mm": [4, 4, 4], "patch": [16, 16, 8]},
        "protocol": {"kind": "explicit", "splits": [{"sources": ["*/T1W"], "targets": ["*/T2W"]}]},
        "methods": ["erm"],
        "networks": [{"name": "unet_tiny", "options": {"width": 4, "levels": 3}}],
        "budget": {"steps": 2},
        "training": {"batch": 2},
        "output": str(work / "out"),
        "tracking": {"uri": f"sqlite:///{work / 'mlflow.db'}"},
    }
    (work / "sweep.yaml").write_text(yaml.safe_dump(content))
    said = []
    for command in (
        ["run", work / "sweep.yaml", "--executor", "inline", "--verbose"],
        ["predict", work / "out", scans / phantom.name, work / "masks", "--probabilities"],
        ["score", work / "masks", scans / phantom.name, "--out", work / "scores"],
        ["export", work / "out", work / "bundle"],
        ["data", "export", work / "out", work / "splits"],
        ["data", "check", scans, "--html", work / "check.html"],
    ):
        done = CliRunner().invoke(app, [str(part) for part in command])
        assert done.exit_code == 0, done.output
        said.append(done.output)
    return work, "\n".join(said)


def bytes_of(path) -> bytes:
    if path.suffix == ".parquet":
        return pd.read_parquet(path).to_csv().encode()
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def test_no_file_and_no_line_holds_the_name(left_behind):
    work, said = left_behind
    files = [path for path in work.rglob("*") if path.is_file()]
    assert {".html", ".db", ".parquet", ".gz", ".json", ".csv", ".safetensors"} <= {path.suffix for path in files}
    assert not [path for path in files if b"Plantedname" in bytes_of(path) or "Plantedname" in path.name]
    assert "Plantedname" not in said


def test_the_check_says_that_there_is_a_text(left_behind):
    _, said = left_behind
    assert "descrip" in said


def test_a_file_that_keeps_the_header_would_be_found(left_behind, phantom, tmp_path):
    work, _ = left_behind
    mask = next((work / "masks").glob("*.nii.gz"))
    copy = tmp_path / mask.name
    shutil.copy(mask, copy)
    plant(copy)
    assert b"Plantedname" in bytes_of(copy)
