"""Pretraining as a person runs it: once, first, shared, shown everywhere; and starting from a finished trial."""

import json

import pytest

from dgsweep.records.ledger import Ledger

PRETRAINED = {"name": "erm", "init_from": {"name": "mae3d", "hp": {"block": 8}}}


def trials(desk):
    plan = Ledger(desk.output).read_plan()
    return plan.pretraining, [spec for spec in plan.trials if spec.setting.init_from]


def test_a_pretraining_runs_once_and_every_trial_that_needs_it_starts_from_it(desk) -> None:
    desk.write(methods=["erm", PRETRAINED], budget={"steps": 4, "pretrain_steps": 3})
    planned = desk.call("plan", str(desk.file))
    assert "first, on images alone" in planned.stdout
    assert "pretraining steps" in planned.stdout.replace("_", " ")
    done = desk.sweep()
    assert "3 trials run, 0 reused, 0 failed" in done.stdout, done.stderr
    (first,), (started,) = trials(desk)
    ledger = Ledger(desk.output)
    assert ledger.provenance(first.trial_id)["steps"] == 3
    assert (ledger.paths(first.trial_id).final_weights).stat().st_mtime_ns < (
        ledger.paths(started.trial_id).final_weights
    ).stat().st_mtime_ns
    page = (desk.output / "report" / "report.html").read_text()
    assert "mae3d (pretraining)" in page
    assert "had 3 further steps, on images alone" in page
    status = json.loads(desk.call("status", str(desk.output), "--json").stdout)
    assert status["counts"] == {"done": 3}
    desk.write(seeds=[0], protocol={**desk.content["protocol"], "label_ratio": [1.0, 0.5]})
    assert "2 trials run, 2 reused" in desk.sweep("--no-report").stdout  # the pretraining serves the other ratio too


def test_a_pretraining_that_fails_fails_what_starts_from_it_with_its_reason_and_nothing_else(desk) -> None:
    too_wide = {**desk.content["training"], "learning_rate": 1e30, "optimizer": "sgd", "grad_clip": 1e30}
    desk.write(methods=["erm", PRETRAINED], training=too_wide)
    done = desk.sweep("--no-report")
    assert done.returncode == 1
    (first,), (started,) = trials(desk)
    ledger = Ledger(desk.output)
    assert ledger.failure(first.trial_id)["kind"] == "nan_loss"
    failure = ledger.failure(started.trial_id)
    assert failure["kind"] == "dependency"
    assert f"the pretraining that it starts from ({first.trial_id}): the loss was not finite" in failure["cause"]


@pytest.mark.slow  # four sweeps; its parts are tested in plan, records and training
def test_a_finished_trial_of_another_sweep_is_started_from_and_what_is_none_is_refused(desk) -> None:
    desk.write(methods=["erm"], output=str(desk.folder / "before"))
    assert desk.sweep("--no-report").returncode == 0
    ledger = Ledger(desk.folder / "before")
    (before,) = ledger.read_plan().trials
    start = {"name": "erm", "init_from": {"trial": f"before/trials/{before.trial_id}"}}
    desk.write(methods=["erm", start], output=str(desk.output))
    done = desk.sweep("--no-report")
    assert "2 trials run, 0 reused, 0 failed" in done.stdout, done.stderr
    wider = [{"name": "unet_tiny", "options": {"width": 8, "levels": 3}}]
    desk.write(methods=["erm", start], networks=wider, output=str(desk.folder / "wider"))
    refused = desk.sweep("--no-report")
    assert refused.returncode == 2
    assert "entries fit. other shape" in refused.stderr
    assert not (desk.folder / "wider").exists()
    desk.write(methods=["erm", {"name": "erm", "init_from": {"trial": "before/trials/none"}}])
    refused = desk.sweep("--no-report")
    assert refused.returncode == 2
    assert "methods.1.init_from.trial" in refused.stderr
    assert "no spec.json there" in refused.stderr
    assert "Traceback" not in refused.stderr
