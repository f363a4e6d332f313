"""What ends a sweep early, and what a person does with one that runs for days; inline, with trivial trials."""

import os
import shutil
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from execution_stand_in import make_config, make_manifest, make_plan, make_run, make_spec, quiet, read_diary

from dgsweep.errors import InputError, ResourceError, TrialStoppedError
from dgsweep.execution.cancel import cancel
from dgsweep.execution.garbage import garbage, remove
from dgsweep.execution.retry import to_retry
from dgsweep.execution.state_table import sweep_status
from dgsweep.execution.sweep import run_sweep
from dgsweep.records.ledger import Ledger
from dgsweep.records.steering import TrialCost, driver_state, stop_request, write_cost

GIB = 2**30


def sweep(folder: Path, plan, run, *, budget=None, only=None, **resources):
    config = make_config(folder, **resources)
    config = config.model_copy(update={"budget": config.budget.model_copy(update=budget or {})})
    return run_sweep(
        config, plan, make_manifest(folder), executor="inline", console=quiet(), run=run, resume_command="x", only=only
    )


def plan_of(*names: str):
    return make_plan(*(make_spec(name) for name in names))


def costing(folder: Path, *, core_s: float, wall_s: float = 0.0):
    """A run function whose trials cost what they are told to."""
    behind = make_run(folder / "diary")

    def run(job, link):
        behind(job, link)
        paths = Ledger(job.output).paths(job.spec["trial_id"])
        write_cost(paths, TrialCost(attempts=1, wall_s=wall_s or core_s, core_s=core_s))

    return run


def test_a_cancelled_sweep_stops_its_trial_keeps_it_resumable_and_fails_nothing(tmp_path):
    ledger, behind = Ledger(tmp_path / "out"), make_run(tmp_path / "diary")

    def obeying(job, link):
        if job.spec["trial_id"] == "two":
            threading.Thread(target=cancel, args=(ledger,), kwargs={"wait_s": 30}, daemon=True).start()
            while not stop_request(ledger.files):
                time.sleep(0.05)
            raise TrialStoppedError("asked")
        behind(job, link)

    outcome = sweep(tmp_path, plan_of("one", "two", "three"), obeying)
    assert (outcome.done, outcome.failed, outcome.left, outcome.exit_code) == (1, (), 2, 1)
    assert outcome.stopped == "dgsweep cancel"
    assert not stop_request(ledger.files)
    assert sweep(tmp_path, plan_of("one", "two", "three"), behind).done == 2


def test_without_a_driver_there_is_nothing_to_cancel(tmp_path):
    with pytest.raises(InputError, match="no sweep runs there"):
        cancel(Ledger(tmp_path / "out"), wait_s=0)
    sweep(tmp_path, plan_of("one"), make_run(tmp_path / "diary"))
    assert driver_state(Ledger(tmp_path / "out").files)["ended"]
    with pytest.raises(InputError, match="no sweep runs there"):
        cancel(Ledger(tmp_path / "out"), wait_s=0)


def test_no_trial_starts_that_would_pass_the_cap_and_a_higher_one_goes_on(tmp_path):
    plan, run = plan_of("one", "two", "three", "four"), costing(tmp_path, core_s=3600.0)
    first = sweep(tmp_path, plan, run, budget={"max_core_hours": 2.5})
    assert (first.done, first.left, first.exit_code) == (2, 2, 1)
    assert "2 of 2.5 core-hours are spent; to go on, raise budget.max_core_hours" in first.stopped
    second = sweep(tmp_path, plan, run, budget={"max_core_hours": 4.5})
    assert (second.done, second.reused, second.stopped, second.exit_code) == (2, 2, "", 0)


def test_wall_time_is_capped_by_run(tmp_path):
    plan, run = plan_of("one", "two"), costing(tmp_path, core_s=0.0, wall_s=7200.0)
    assert sweep(tmp_path, plan, run, budget={"max_wall_h": 1.0}).left == 1
    assert sweep(tmp_path, plan, run, budget={"max_wall_h": 3.0}).left == 0


def test_a_cap_on_gpu_hours_without_a_gpu_is_refused(tmp_path):
    with pytest.raises(ResourceError, match=r"hold no GPU -> cap budget.max_core_hours"):
        sweep(tmp_path, plan_of("one"), make_run(tmp_path / "diary"), budget={"max_gpu_hours": 1}, gpus_per_trial=0)


def test_a_sweep_stops_before_the_disk_is_full(tmp_path):
    filler, behind = tmp_path / "filler", make_run(tmp_path / "diary")
    if shutil.disk_usage(tmp_path).free < 3 * GIB:
        pytest.skip("needs 3 GiB of free disk")

    def filling(job, link):
        with filler.open("wb") as stream:
            os.posix_fallocate(stream.fileno(), 0, 2 * GIB)
        behind(job, link)

    least = shutil.disk_usage(tmp_path).free / GIB - 1.0
    try:
        outcome = sweep(tmp_path, plan_of("one", "two"), filling, min_free_gib=least)
        assert (outcome.done, outcome.left) == (1, 1)
        assert "less than resources.min_free_gib" in outcome.stopped
        with pytest.raises(ResourceError, match="the disk is too small"):
            sweep(tmp_path, plan_of("one", "two"), behind, min_free_gib=least)
    finally:
        filler.unlink()
    assert sweep(tmp_path, plan_of("one", "two"), behind, min_free_gib=least).done == 1


def test_retry_runs_what_failed_and_nothing_else(tmp_path):
    plan = plan_of("bad", "worse", "good")
    sweep(tmp_path, plan, make_run(tmp_path / "diary", behaviour={"bad": "fails", "worse": "fails"}))
    longer = make_plan(*plan.trials, make_spec("new"))
    ledger = Ledger(tmp_path / "out")
    only = to_retry(ledger, longer, [], failed=True)
    assert only == ["bad", "worse"]
    assert to_retry(ledger, longer, ["wor"], failed=False) == ["worse"]
    outcome = sweep(tmp_path, longer, make_run(tmp_path / "diary"), only=only)
    assert (outcome.done, outcome.reused, outcome.failed) == (2, 0, ())
    assert "new.0.0" not in read_diary(tmp_path / "diary")
    with pytest.raises(InputError, match=r"good: is done.*\n.*nothing: fits 0 trials"):
        to_retry(ledger, longer, ["good", "nothing"], failed=False)
    with pytest.raises(InputError, match="there is nothing to retry"):
        to_retry(ledger, longer, [], failed=True)


def test_status_tells_what_was_spent_on_failed_and_forgotten_trials_too_and_where_they_broke(tmp_path):
    plan = plan_of("good", "bad")
    sweep(tmp_path, plan, costing(tmp_path, core_s=7200.0))
    ledger = Ledger(tmp_path / "out")
    ledger.paths("bad").done.unlink()
    ledger.fail("bad", "it broke", traceback="Traceback: there")
    write_cost(ledger.paths("old"), TrialCost(attempts=2, wall_s=60, core_s=3600.0, steps=5))
    document = sweep_status(ledger, plan)
    spent = {row["state"]: row["core_hours"] for row in document["cost"]}
    assert spent == {"done": 2.0, "failed": 2.0, "not in the plan": 1.0, "all": 5.0}
    (failed,) = [row for row in document["trials"] if row["state"] == "failed"]
    assert (failed["cause"], failed["traceback"]) == ("it broke", "Traceback: there")
    assert document["eta_s"] is None
    assert not document["driver"]["lives"]


def test_the_time_to_go_follows_from_what_is_done_and_what_runs(tmp_path):
    sweep(tmp_path, plan_of("one"), costing(tmp_path, core_s=100.0))
    ledger, plan = Ledger(tmp_path / "out"), plan_of("one", "two", "three")
    ledger.begin(plan.trials[1])
    ledger.heartbeat("two", {"phase": "train", "step": 1, "steps": 4})
    document = sweep_status(ledger, plan)
    assert document["eta_s"] == pytest.approx(175.0)
    assert 0 <= document["trials"][1]["heartbeat_age_s"] < 30


def test_only_weights_that_nothing_needs_are_garbage(tmp_path):
    cell = [replace(make_spec(name), cell_id="cell", trial=place) for place, name in enumerate(("one", "two"))]
    start = replace(make_spec("start", targets=()), phase="pretrain", score_shas={})
    lone = replace(make_spec("lone"), depends_on=("start",))
    opened = [replace(make_spec(name), cell_id="open", trial=place) for place, name in enumerate(("ready", "later"))]
    plan = replace(make_plan(*cell, lone, *opened), pretraining=(start,), config={"selection": ["last"]})
    sweep(tmp_path, plan, make_run(tmp_path / "diary"))
    ledger = Ledger(tmp_path / "out")
    for spec in plan.all_trials:
        ledger.paths(spec.trial_id).checkpoint.mkdir(exist_ok=True)
        ledger.paths(spec.trial_id).final_weights.write_bytes(b"weights")
    (ledger.paths("one").checkpoint / "last.pt").write_bytes(b"resumable state")
    ledger.paths("later").done.unlink()
    found = garbage(ledger, plan)
    assert sorted((one.path.parent.parent.name, one.path.name) for one in found) == [
        ("one", "last.pt"), ("two", "final.pt"),
    ]  # fmt: skip
    assert remove(found) == sum(one.size for one in found)
    assert garbage(ledger, plan) == []
