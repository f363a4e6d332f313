"""`dgsweep score`: a stranger's masks by the same definitions as ours, nothing silently left out."""

import json
import math

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from monai.metrics import DiceMetric
from typer.testing import CliRunner

from dgsweep.cli.app import app
from dgsweep.errors import InputError
from dgsweep.prediction.nnunet_summary import nnunet_summary
from dgsweep.prediction.score import case_of, score_folders
from dgsweep.prediction.score_tables import labels_of, summary_rows
from dgsweep.records.columns import CASE_COLUMNS, read_rows

AFFINE = np.diag([1.0, 2.0, 3.0, 1.0])


def write(path, array, affine=AFFINE):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array.astype(np.uint8), affine), path)


def masks(seed, values=(0, 1, 2)) -> np.ndarray:
    return np.random.default_rng(seed).choice(values, size=(10, 9, 8))


@pytest.fixture
def folders(tmp_path):
    for number in range(3):
        write(tmp_path / "pred" / f"c{number}.nii.gz", masks(number))
        write(tmp_path / "ref" / f"c{number}.nii.gz", masks(number + 10))
    return tmp_path / "pred", tmp_path / "ref"


def test_scores_of_the_sweeps_masks_equal_the_ledgers(swept, phantom):
    plan = swept.read_plan()
    trial = plan.trials[0].trial_id
    kept = swept.cases_frame(plan).query("trial_id == @trial").set_index(["case_id", "label"]).sort_index()
    scores = score_folders(swept.paths(trial).root / "predictions", phantom)
    mine = scores.cases.set_index(["case_id", "label"]).sort_index()
    assert set(mine.index) == set(kept.index)
    for column in ("dice", "hd95_mm", "assd_mm", "nsd", "volume_ml", "volume_ref_ml", "domain", "patient_id"):
        pd.testing.assert_series_equal(mine[column], kept[column], check_names=False)


def test_dice_of_a_strangers_masks_is_monais(folders):
    import torch

    scores = score_folders(*folders).cases.set_index(["case_id", "label"])["dice"]
    for number in range(3):
        both = [
            torch.from_numpy(np.stack([masks(number + shift) == value for value in (1, 2)]))[None] for shift in (0, 10)
        ]
        found = DiceMetric()(both[0], both[1])[0]
        assert [scores[f"c{number}", f"label_{value}"] for value in (1, 2)] == pytest.approx(found.tolist())


def test_a_reference_without_a_prediction_is_told_and_not_counted(folders):
    predictions, references = folders
    (predictions / "c1.nii.gz").rename(predictions / "other.nii.gz")
    scores = score_folders(predictions, references)
    assert set(scores.cases["case_id"]) == {"c0", "c2"}
    assert {(one.where, one.found) for one in scores.problems} == {
        ("case c1", "no prediction"), ("case other", "no reference"),
    }  # fmt: skip


def test_a_prediction_on_another_grid_is_not_scored(folders):
    predictions, references = folders
    moved = AFFINE.copy()
    moved[0, 3] = 40
    write(predictions / "c1.nii.gz", masks(1), moved)
    scores = score_folders(predictions, references)
    assert set(scores.cases["case_id"]) == {"c0", "c2"}
    assert "the prediction lies up to 40.00 mm off" in scores.problems[0].found


def test_flipped_storage_of_the_same_place_scores_the_same(folders):
    predictions, references = folders
    before = score_folders(predictions, references).cases
    flipped = AFFINE @ np.array([[-1, 0, 0, 9], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    write(predictions / "c1.nii.gz", masks(1)[::-1], flipped)
    after = score_folders(predictions, references).cases
    pd.testing.assert_frame_equal(before.drop(columns="wall_s"), after.drop(columns="wall_s"))


@pytest.mark.parametrize(
    ("name", "case"),
    [("c1_0000.nii.gz", "c1"), ("c1_seg.nii.gz", "c1"), ("sub-1_T1w_space-orig_desc-dgsweep_dseg.nii.gz", "sub-1_T1w")],
)
def test_names_are_compared_without_what_tools_add(name, case):
    assert case_of(name) == case


def test_the_summary_has_nnunets_keys_means_and_its_rule_for_empty_structures(folders):
    predictions, references = folders
    write(predictions / "c0.nii.gz", masks(0, values=(0, 1)))
    write(references / "c0.nii.gz", masks(10, values=(0, 1)))
    summary = nnunet_summary(score_folders(predictions, references))
    assert list(summary) == ["foreground_mean", "mean", "metric_per_case"]
    first = summary["metric_per_case"][0]["metrics"]
    assert math.isnan(first["2"]["Dice"])
    assert (first["2"]["TP"], first["2"]["n_ref"], first["2"]["TN"]) == (0, 0, 720)
    known = [case["metrics"]["2"]["Dice"] for case in summary["metric_per_case"][1:]]
    assert summary["mean"]["2"]["Dice"] == pytest.approx(np.mean(known))
    means = [summary["mean"][value]["Dice"] for value in ("1", "2")]
    assert summary["foreground_mean"]["Dice"] == pytest.approx(np.mean(means))


def test_the_verb_writes_the_ledgers_columns_and_an_interval_for_each_mean(folders, tmp_path):
    command = ["score", *map(str, folders), "--out", str(tmp_path / "scores"), "--label", "organ=1", "--json"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    (row,) = json.loads(done.stdout)["scores"]
    assert row["dice_low"] < row["dice"] < row["dice_high"]
    kept = read_rows(tmp_path / "scores" / "cases.parquet")
    assert tuple(kept.columns) == CASE_COLUMNS
    assert set(kept["label"]) == {"organ"}
    assert json.loads((tmp_path / "scores" / "summary.json").read_text())["mean"].keys() == {"1"}
    assert "dice" in (tmp_path / "scores" / "cases.csv").read_text()


def test_folders_without_a_common_name_are_refused(tmp_path):
    write(tmp_path / "pred" / "a.nii.gz", masks(0))
    write(tmp_path / "ref" / "b.nii.gz", masks(0))
    with pytest.raises(InputError, match="must agree"):
        score_folders(tmp_path / "pred", tmp_path / "ref")


def test_labels_that_are_none_are_all_named():
    assert labels_of(["pancreas=1", "duodenum=3"]) == {"pancreas": 1, "duodenum": 3}
    with pytest.raises(InputError, match=r"(?s)x=0.*y"):
        labels_of(["x=0", "y"])


def test_one_patient_has_a_mean_and_no_interval(folders):
    predictions, references = folders
    for number in (1, 2):
        (references / f"c{number}.nii.gz").unlink()
    (row, _) = summary_rows(score_folders(predictions, references))
    assert math.isnan(row["dice_low"])
