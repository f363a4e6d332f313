"""Second readings on their way through a sweep: into the list of scans, and nowhere else."""

import csv
import json
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest

from dgsweep.analysis.observers import agreement_of
from dgsweep.execution.preparation import build_jobs, write_case_list
from dgsweep.execution.prepare import prepare
from dgsweep.report.observers import read_observers

SWEEP = """
name: twice
data: {manifest: manifest.csv, spacing_mm: [1, 1, 1], patch: [16, 16, 16]}
methods: [erm]
networks: [unet_tiny]
budget: {steps: 2}
output: out
"""


@pytest.fixture
def sweep(tmp_path):
    """`sweep(second)`: the sweep file of a data set with or without second readings of the same scans."""

    def write(second):
        rows = []
        for number in range(6):
            scan = np.random.default_rng(number).normal(100, 9, (8, 8, 8)).astype(np.float32)
            label = (scan > 100).astype(np.uint8)
            files = {"image": scan, "label": label, "label_inter": (scan > 101).astype(np.uint8)}
            for column, array in files.items():
                nib.save(nib.Nifti1Image(array, np.eye(4)), tmp_path / f"c{number}_{column}.nii.gz")
            named = {column: f"c{number}_{column}.nii.gz" for column in files if second or column != "label_inter"}
            place = {"center": "C1", "sequence": ("T1W", "T2W")[number % 2]}
            rows.append({"case_id": f"c{number}", "patient_id": f"p{number // 2}", **place, **named})
        with (tmp_path / "manifest.csv").open("w", newline="") as stream:
            writer = csv.DictWriter(stream, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        (tmp_path / "sweep.yaml").write_text(SWEEP)
        return prepare(tmp_path / "sweep.yaml")

    return write


def test_a_second_reading_changes_no_trial(sweep):
    assert sweep(True).manifest.second_labels
    assert [spec.to_json() for spec in sweep(True).plan.trials] == [spec.to_json() for spec in sweep(False).plan.trials]


def test_no_job_knows_where_a_second_reading_lies(sweep):
    prepared = sweep(True)
    resources = SimpleNamespace(threads=1, device="cpu", gpus_per_worker=0.0)
    jobs = build_jobs(prepared.plan.trials, prepared.manifest, prepared.config, resources)
    files = [path for job in jobs for case in job.cases.values() for path in (case.image, case.label)]
    assert files
    assert not [path for path in files if "inter" in path.name]


def test_the_report_finds_in_the_list_of_scans_what_the_manifest_says(sweep, tmp_path):
    manifest = sweep(True).manifest
    write_case_list(manifest, tmp_path)
    listed = json.loads((tmp_path / "cases.json").read_text())
    found = read_observers(tmp_path, listed).cases
    assert found.equals(agreement_of(manifest)["observer_agreement_cases"])
    assert len(found) == 6


def test_a_list_of_scans_that_were_read_once_says_nothing_of_it(sweep, tmp_path):
    write_case_list(sweep(False).manifest, tmp_path)
    listed = json.loads((tmp_path / "cases.json").read_text())
    assert all(set(entry) == {"image", "label", "label_values"} for entry in listed.values())
