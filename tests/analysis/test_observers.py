"""Agreement of two readings of the same scans, against MONAI's Dice and scikit-learn's kappa."""

import csv
import json
import math

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import torch
from monai.metrics import DiceMetric
from sklearn.metrics import cohen_kappa_score
from typer.testing import CliRunner

from dgsweep.analysis.observers import agreement_of, observer_cases, observer_table, read_twice
from dgsweep.cli.app import app
from dgsweep.config.schema import DataConfig
from dgsweep.data.manifest import read_manifest
from dgsweep.errors import InputError

SHAPE = (14, 12, 10)


def reading(number, wrong=0.0):
    array = np.zeros(SHAPE, np.uint8)
    array[3:9, 3 : 8 + number % 3, 3:7] = 1
    flipped = np.random.default_rng(number).random(SHAPE) < wrong
    return np.where(flipped, 1 - array, array).astype(np.uint8)


def write(root, patients=4, second=("inter", "intra")):
    """Each patient with two scans; the readings of the second observer differ more than those of the same one."""
    rows = []
    for number in range(2 * patients):
        name = f"c{number}"
        files = {"image": np.full(SHAPE, 100.0, np.float32) + np.arange(10, dtype=np.float32) + number}
        files["label"] = reading(number)
        files |= {f"label_{kind}": reading(number, {"inter": 0.05, "intra": 0.01}[kind]) for kind in second}
        for column, array in files.items():
            nib.save(nib.Nifti1Image(array, np.eye(4)), root / f"{name}_{column}.nii.gz")
        sequence = ("T1W", "T2W")[number % 2]
        row = {"case_id": name, "patient_id": f"p{number // 2}", "center": "C1", "sequence": sequence}
        rows.append(row | {column: f"{name}_{column}.nii.gz" for column in files})
    with (root / "manifest.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return root / "manifest.csv"


def read(path):
    return read_manifest(path, DataConfig(manifest=str(path)))


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return read(write(tmp_path_factory.mktemp("twice")))


@pytest.fixture(scope="module")
def tables(manifest):
    return agreement_of(manifest)


def test_the_dice_of_each_case_is_monais(tables):
    cases = tables["observer_agreement_cases"].query("observer == 'inter'")
    for row in cases.itertuples():
        number = int(row.case_id[1:])
        pair = [torch.from_numpy(reading(number, wrong).astype(np.float32))[None, None] for wrong in (0.05, 0.0)]
        assert row.dice == pytest.approx(float(DiceMetric()(*pair)), abs=1e-6)


def test_the_kappa_of_each_case_is_that_of_scikit_learn_over_the_whole_image(tables):
    cases = tables["observer_agreement_cases"].query("observer == 'intra'")
    for row in cases.itertuples():
        number = int(row.case_id[1:])
        expected = cohen_kappa_score(reading(number).ravel(), reading(number, 0.01).ravel())
        assert row.kappa == pytest.approx(expected, abs=1e-12)


def test_one_observer_agrees_better_with_himself_than_with_another(tables):
    found = tables["observer_agreement"].query("level == 'all'").set_index("observer")
    assert found.at["intra", "dice_low"] > found.at["inter", "dice_high"]
    assert found.at["inter", "dice"] == pytest.approx(
        tables["observer_agreement_cases"].query("observer == 'inter'").dice.mean()
    )


def test_means_stand_by_sequence_and_by_domain_too(tables):
    found = tables["observer_agreement"]
    assert set(found["level"]) == {"all", "sequence", "domain"}
    assert set(found["where"]) == {"all", "T1W", "T2W", "C1/T1W", "C1/T2W"}
    assert set(found.query("level == 'all'")["patients"]) == {4}


def test_intervals_come_from_whole_patients():
    one = {"center": "C", "sequence": "T", "domain": "C/T", "observer": "inter", "label": "a", "kappa": 0.5}
    rows = [one | {"case_id": f"c{i}", "patient_id": f"p{i // 8}", "dice": 0.5 + 0.4 * (i >= 8)} for i in range(16)]
    cases = pd.DataFrame(rows).assign(empty_first=False, empty_second=False)
    width = lambda table: float((table["dice_high"] - table["dice_low"]).iloc[0])  # noqa: E731
    assert width(observer_table(cases)) > 1.5 * width(observer_table(cases.assign(patient_id=cases["case_id"])))


def test_a_case_whose_first_reading_is_empty_is_left_out_and_counted(manifest):
    pair = read_twice(manifest)[0]
    counts = {
        "a": {"both": 0, "first": 0, "second": 0, "voxels": 99},
        "b": {"both": 4, "first": 4, "second": 4, "voxels": 99},
    }
    cases = observer_cases([(pair, counts)])
    found = observer_table(cases).query("level == 'all'").set_index("label")
    assert (found.at["a", "cases"], found.at["a", "empty_first"]) == (0, 1)
    assert math.isnan(found.at["a", "dice"])
    assert (found.at["b", "dice"], found.at["b", "kappa"]) == (1.0, 1.0)


def test_without_a_second_reading_the_input_is_wrong(tmp_path):
    with pytest.raises(InputError, match="add a column label_inter or label_intra"):
        agreement_of(read(write(tmp_path, patients=1, second=())))


def test_the_verb_prints_one_json_document_and_writes_csv(tmp_path):
    path = write(tmp_path, patients=2)
    done = CliRunner().invoke(app, ["data", "agreement", str(path), "--json", "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert document["region"] == "whole image"
    assert len(document["observer_agreement_cases"]) == 8
    written = pd.read_csv(tmp_path / "out" / "observer_agreement.csv")
    assert len(written) == len(document["observer_agreement"])
