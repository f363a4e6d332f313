"""Trained and zero-shot methods in one sweep: weights registered, prompts made, rows in panels, run and resumed."""

import json
import time

import pandas as pd
import pytest
import torch

from dgsweep.execution import pulse
from dgsweep.execution.job import WorkerLink
from dgsweep.execution.preparation import build_jobs
from dgsweep.execution.prepare import prepare
from dgsweep.execution.resources import TrialResources
from dgsweep.execution.state_table import sweep_status
from dgsweep.execution.worker import run_trial
from dgsweep.method.promptable.family import Architecture, build_random
from dgsweep.method.promptable.mapping import to_original
from dgsweep.records.ledger import Ledger


@pytest.fixture
def weights(desk, monkeypatch):
    """Random weights of a small SAM, in the layout of the original, registered as a person does."""
    monkeypatch.setenv("DGSWEEP_WEIGHTS", str(desk.folder / "weights"))
    architecture = Architecture.small("sam", 64)
    file, sizes = desk.folder / "small.pth", desk.folder / "small.json"
    torch.save(to_original(build_random("sam", architecture, seed=0).state_dict(), "sam"), file)
    sizes.write_text(json.dumps(architecture.document()))
    added = desk.call("weights", "add", "small_sam", str(file), "--family", "sam", "--architecture", str(sizes))
    assert added.returncode == 0, added.stderr
    return "small_sam"


def test_a_sweep_of_trained_and_zero_shot_methods_runs_resumes_and_reports(desk, weights) -> None:
    protocols = ["per_slice_box", {"jittered_box": 2}, "predicted_box"]
    zero_shot = {"name": "sam", "hp": {"weights": weights}, "prompts": protocols}
    desk.write(methods=["erm", zero_shot])
    done = desk.sweep()
    assert "4 trials run, 0 reused, 0 failed" in done.stdout, done.stderr
    ledger = Ledger(desk.output)
    plan = ledger.read_plan()
    cases = ledger.cases_frame(plan)
    panels = cases.groupby("prompt", dropna=False)["panel"].unique().map(lambda names: names[0]).to_dict()
    assert panels["per_slice_box"] == panels["jittered_box: 2"] == "oracle"
    assert panels["predicted_box: per_slice_box"] == "main"
    boxed = cases[(cases["method"] == "sam") & (cases["prompt"] == "per_slice_box")]
    scored = cases[(cases["method"] == "erm") & (cases["role"] != "val")]
    assert set(boxed["case_id"]) == set(scored["case_id"])
    assert pd.Series(boxed["dice"]).between(0, 1).all()
    kept = list((desk.output / "cache" / "embeddings").glob("*.safetensors"))
    assert len(kept) == boxed["case_id"].nunique()  # one file a case, for all protocols
    page = (desk.output / "report" / "report.html").read_text()
    assert "sam (prompt=per_slice_box)" in page
    assert "0 trials run, 4 reused" in desk.sweep("--no-report").stdout


def test_status_counts_the_cases_of_a_zero_shot_trial_while_they_are_scored(desk, weights, monkeypatch) -> None:
    monkeypatch.setattr(pulse, "INTERVAL_S", 0.01)
    desk.write(methods=[{"name": "sam", "hp": {"weights": weights}, "prompts": ["per_slice_box"]}])
    prepared = prepare(desk.file)
    resources = TrialResources(workers=1, cpus_per_worker=1, gpus_per_worker=0.0, max_concurrent=1)
    (job,) = build_jobs(prepared.plan.trials, prepared.manifest, prepared.config, resources)
    ledger = Ledger(desk.output)
    ledger.write_plan(prepared.plan)
    to_score = len(prepared.plan.trials[0].score_shas)
    told, seen = [], []

    def look(report) -> None:
        told.append((report["scored"], report["to_score"]))
        deadline_s = time.monotonic() + 20
        while time.monotonic() < deadline_s:
            (row,) = sweep_status(ledger)["trials"]
            if (row["state"], row["scored"]) == ("running", report["scored"]):
                break
            time.sleep(0.01)
        seen.append((row["scored"], row["to_score"]))

    run_trial(job, WorkerLink(rank=0, world_size=1, report=look))
    assert told == seen == [(scored, to_score) for scored in range(to_score + 1)]
    found = sweep_status(ledger)
    (row,), counts = found["trials"], found["counts"]
    assert (row["scored"], counts) == (to_score, {"done": 1})


def test_weights_that_are_not_registered_are_refused_before_anything_runs(desk, monkeypatch) -> None:
    monkeypatch.setenv("DGSWEEP_WEIGHTS", str(desk.folder / "weights"))
    desk.write(methods=["erm", "medsam"])
    refused = desk.sweep()
    assert refused.returncode == 2
    assert "no weights 'medsam_vit_b' are registered" in refused.stderr
    assert "dgsweep weights add medsam_vit_b FILE" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not desk.output.exists()
