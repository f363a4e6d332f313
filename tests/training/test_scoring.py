"""Scores are computed in the file's own grid: a perfect prediction is perfect whatever the file looks like."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from training_stand_in import cpu, make_spec

from dgsweep.config.schema import DataConfig
from dgsweep.data.cache import PreprocessCache
from dgsweep.data.manifest import Manifest, read_manifest
from dgsweep.plan.trial import Preprocessing, Split
from dgsweep.training.assemble import build_context
from dgsweep.training.scoring import predict_mask, score_cases, score_tasks

VALUES = {"pancreas": 7, "duodenum": 3}
SPACING = (1.0, 1.5, 3.0)
RAS = np.diag([*SPACING, 1.0])
LPS = np.diag([-SPACING[0], -SPACING[1], SPACING[2], 1.0])
PERMUTED = np.array([[0, 0, SPACING[0], 0], [SPACING[1], 0, 0, 0], [0, -SPACING[2], 0, 0], [0, 0, 0, 1]])


def write_case(folder: Path, name: str, affine: np.ndarray) -> dict[str, str]:
    """Two boxes in the file's own voxel order; the image is 10 and 20 where the label is 7 and 3."""
    classes = np.zeros((24, 20, 12), dtype=np.uint8)
    classes[4:12, 5:13, 2:7] = 1
    classes[13:20, 3:15, 5:9] = 2
    label = np.choose(classes, [0, VALUES["pancreas"], VALUES["duodenum"]]).astype(np.uint8)
    nib.save(nib.Nifti1Image(10.0 * classes.astype(np.float32), affine), folder / f"{name}.nii.gz")
    nib.save(nib.Nifti1Image(label, affine), folder / f"{name}_label.nii.gz")
    return {"case_id": name, "patient_id": name, "image": f"{name}.nii.gz", "label": f"{name}_label.nii.gz",
            "center": "C1", "sequence": "T1W"}  # fmt: skip


@pytest.fixture(scope="module")
def manifest(tmp_path_factory) -> Manifest:
    folder = tmp_path_factory.mktemp("data")
    rows = [write_case(folder, *item) for item in (("ras", RAS), ("lps", LPS), ("permuted", PERMUTED))]
    with (folder / "manifest.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    (folder / "dataset.yaml").write_text(json.dumps({"name": "boxes", "labels": {"background": 0, **VALUES}}))
    return read_manifest(folder / "manifest.csv", DataConfig(manifest="manifest.csv"), hashes=None)


def scored(manifest: Manifest, folder: Path, *, spacing_mm=SPACING, wrong: bool = False, labels=VALUES):
    names = tuple(case.info.case_id for case in manifest.cases)
    spec = replace(
        make_spec("oracle", hp={"wrong": wrong}),
        preprocessing=Preprocessing(spacing_mm=spacing_mm, patch=(16, 16, 8), labels=labels),
        split=Split(train=(), val=(), test=(), target=names),
        domains=dict.fromkeys(names, "C1/T1W"),
    )
    tasks = score_tasks(
        spec, {case.info.case_id: case for case in manifest.cases}, lambda name: folder / f"{name}.nii.gz"
    )
    cache = PreprocessCache(folder / "cache")
    return [row for _, rows in score_cases(build_context(spec, cpu()), spec, tasks, cache, cpu()) for row in rows]


def test_a_perfect_prediction_scores_one_in_every_orientation_and_for_both_structures(manifest, tmp_path):
    rows = scored(manifest, tmp_path)
    assert {(row["case_id"], row["label"]) for row in rows} == {
        (name, label) for name in ("ras", "lps", "permuted") for label in VALUES
    }
    assert [row["dice"] for row in rows] == [1.0] * 6
    assert [row["hd95_mm"] for row in rows] == [0.0] * 6


def test_swapped_structures_score_next_to_nothing(manifest, tmp_path):
    assert max(row["dice"] for row in scored(manifest, tmp_path, wrong=True)) < 0.3


def test_the_mask_on_disk_is_the_reference_voxel_by_voxel_in_its_own_order(manifest, tmp_path):
    scored(manifest, tmp_path)
    for case in manifest.cases:
        mask, reference = nib.load(tmp_path / f"{case.info.case_id}.nii.gz"), nib.load(case.label)
        classes = np.select([np.asarray(reference.dataobj) == value for value in VALUES.values()], [1, 2])
        np.testing.assert_array_equal(np.asarray(mask.dataobj), classes)
        np.testing.assert_allclose(mask.affine, reference.affine)


def test_volumes_are_in_ml_of_the_native_grid(manifest, tmp_path):
    # 8 x 8 x 5 and 7 x 12 x 4 voxels of 1 x 1.5 x 3 mm.
    expected = {"pancreas": 320 * 4.5 / 1000, "duodenum": 336 * 4.5 / 1000}
    for row in scored(manifest, tmp_path):
        assert row["volume_ref_ml"] == pytest.approx(expected[row["label"]])


def test_a_prediction_on_another_grid_comes_back_to_the_native_one(manifest, tmp_path):
    # Between 0 and 20 the interpolated edge of the brighter box passes through 10, the grey value of the other: a thin
    # shell of the wrong class is the oracle's own error.
    rows = scored(manifest, tmp_path, spacing_mm=(0.5, 0.5, 1.0))
    assert min(row["dice"] for row in rows) > 0.9
    assert {nib.load(tmp_path / "permuted.nii.gz").shape} == {(24, 20, 12)}


def test_the_order_of_the_structures_decides_the_class_and_not_the_score_names(manifest, tmp_path):
    swapped = dict(reversed(VALUES.items()))
    assert max(row["dice"] for row in scored(manifest, tmp_path, labels=swapped)) < 0.3


def test_predict_mask_never_needs_a_label(manifest, tmp_path):
    case = manifest.cases[0]
    spec = replace(make_spec("oracle", hp={"wrong": False}),
                   preprocessing=Preprocessing(spacing_mm=SPACING, patch=(16, 16, 8), labels=VALUES))  # fmt: skip
    unlabelled = replace(case, label=None)
    cached = PreprocessCache(tmp_path / "cache").image(unlabelled, spec.preprocessing, "C1/T1W")
    assert set(np.unique(predict_mask(build_context(spec, cpu()), spec, cached))) == {0, 1, 2}


def test_an_unlabelled_case_gets_a_mask_and_no_row(manifest, tmp_path):
    blind = replace(manifest, cases=tuple(replace(case, label=None) for case in manifest.cases))
    assert scored(blind, tmp_path) == []
    assert (tmp_path / "lps.nii.gz").exists()
