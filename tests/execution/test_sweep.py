"""What the driver runs, what it leaves alone, and what it records; inline, since the choice does not depend on Ray."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from execution_stand_in import make_config, make_manifest, make_plan, make_run, make_spec, quiet, read_diary

from dgsweep.errors import InputError, PlanError, ResourceError
from dgsweep.execution.events import Run
from dgsweep.execution.outcome import SweepInterruptedError, SweepOutcome
from dgsweep.execution.preparation import write_case_list
from dgsweep.execution.sweep import run_sweep
from dgsweep.plan.trial import Plan
from dgsweep.records.ledger import Ledger


def sweep(folder: Path, plan: Plan, run: Run, **resources: int) -> SweepOutcome:
    config = make_config(folder, **resources)
    manifest = make_manifest(folder)
    return run_sweep(
        config, plan, manifest, executor="inline", console=quiet(), run=run, resume_command="dgsweep run x"
    )


def test_a_finished_trial_is_not_run_again(tmp_path: Path) -> None:
    plan, run = make_plan(make_spec("one")), make_run(tmp_path / "diary")
    first, second = sweep(tmp_path, plan, run), sweep(tmp_path, plan, run)
    assert (first.done, first.reused, first.failed) == (1, 0, ())
    assert (second.done, second.reused, second.failed) == (0, 1, ())
    assert list(read_diary(tmp_path / "diary")) == ["one.0.0"]


def test_a_longer_plan_runs_only_what_is_new(tmp_path: Path) -> None:
    run = make_run(tmp_path / "diary")
    sweep(tmp_path, make_plan(make_spec("one")), run)
    extended = sweep(tmp_path, make_plan(make_spec("one"), make_spec("two")), run)
    assert (extended.done, extended.reused) == (1, 1)
    assert list(read_diary(tmp_path / "diary")) == ["one.0.0", "two.0.0"]


def test_a_pretraining_is_only_run_where_a_trial_still_needs_it(tmp_path: Path) -> None:
    run = make_run(tmp_path / "diary")
    first = replace(make_spec("first", targets=()), phase="pretrain", score_shas={})
    one, two = (replace(make_spec(name), depends_on=("first",)) for name in ("one", "two"))
    sweep(tmp_path, replace(make_plan(one), pretraining=(first,)), run)
    Ledger(tmp_path / "out").paths("first").done.unlink()
    again = sweep(tmp_path, replace(make_plan(one), pretraining=(first,)), run)
    assert (again.done, again.reused) == (0, 1)
    longer = sweep(tmp_path, replace(make_plan(one, two), pretraining=(first,)), run)
    assert (longer.done, longer.reused) == (2, 1)
    assert list(read_diary(tmp_path / "diary")) == ["first.0.0", "first.0.1", "one.0.0", "two.0.0"]


def test_a_trial_with_a_new_target_case_is_given_to_a_worker_again(tmp_path: Path) -> None:
    run = make_run(tmp_path / "diary")
    sweep(tmp_path, make_plan(make_spec("one")), run)
    outcome = sweep(tmp_path, make_plan(make_spec("one", targets=("t1", "t2"))), run)
    assert (outcome.done, outcome.reused) == (1, 0)


def test_a_failing_trial_is_recorded_and_the_rest_finishes(tmp_path: Path) -> None:
    plan = make_plan(make_spec("bad"), make_spec("good"))
    outcome = sweep(tmp_path, plan, make_run(tmp_path / "diary", behaviour={"bad": "fails"}))
    ledger = Ledger(tmp_path / "out")
    assert [(failed.trial_id, failed.cause) for failed in outcome.failed] == [
        ("bad", "the loss is not a number at step 2")
    ]
    assert (outcome.done, outcome.exit_code) == (1, 1)
    assert [ledger.state(spec) for spec in plan.trials] == ["failed", "done"]


def test_a_failed_trial_is_tried_again_by_the_next_run(tmp_path: Path) -> None:
    plan = make_plan(make_spec("bad"))
    sweep(tmp_path, plan, make_run(tmp_path / "diary", behaviour={"bad": "fails"}))
    outcome = sweep(tmp_path, plan, make_run(tmp_path / "diary"))
    assert (outcome.done, outcome.exit_code) == (1, 0)


def test_a_run_function_that_leaves_no_record_counts_as_failed(tmp_path: Path) -> None:
    outcome = sweep(tmp_path, make_plan(make_spec("one")), lambda job, link: None)
    assert [failed.cause for failed in outcome.failed] == ["it ended without a record (planned)"]


def test_the_list_of_scans_holds_absolute_paths(tmp_path: Path) -> None:
    sweep(tmp_path, make_plan(make_spec("one")), make_run(tmp_path / "diary"))
    listed = json.loads((tmp_path / "out" / "cases.json").read_text())
    assert listed["a1"]["image"] == str(tmp_path / "a1.nii.gz")
    assert listed["a1"]["label"] == str(tmp_path / "a1_label.nii.gz")


def test_the_list_of_scans_holds_each_case_s_own_label_values(tmp_path: Path) -> None:
    manifest = make_manifest(tmp_path)
    own = replace(manifest.cases[0], label_values={"pancreas": 7})
    write_case_list(replace(manifest, cases=(own, *manifest.cases[1:])), tmp_path)
    listed = json.loads((tmp_path / "cases.json").read_text())
    assert listed[own.info.case_id]["label_values"] == {"pancreas": 7}
    assert listed[manifest.cases[1].info.case_id]["label_values"] == {}


def test_a_request_that_the_machine_cannot_meet_exits_2_before_anything_is_run(tmp_path: Path) -> None:
    run = make_run(tmp_path / "diary")
    with pytest.raises(ResourceError, match="100000 core") as refused:
        sweep(tmp_path, make_plan(make_spec("one")), run, cpus_per_trial=100_000)
    assert refused.value.exit_code == 2
    assert read_diary(tmp_path / "diary") == {}


def test_inline_refuses_several_workers(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match=r"workers_per_trial: 2"):
        sweep(tmp_path, make_plan(make_spec("one")), make_run(tmp_path / "diary"), workers_per_trial=2)


def test_a_plan_of_other_scans_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="'elsewhere'"):
        sweep(tmp_path, make_plan(make_spec("one", targets=("elsewhere",))), make_run(tmp_path / "diary"))


def test_a_second_driver_of_the_same_output_is_refused(tmp_path: Path) -> None:
    with Ledger(tmp_path / "out").lock(), pytest.raises(InputError, match="another driver"):
        sweep(tmp_path, make_plan(make_spec("one")), make_run(tmp_path / "diary"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_sweep_keeps_what_is_done_and_tells_how_to_go_on(tmp_path: Path, number: int) -> None:
    plan = make_plan(make_spec("one"), make_spec("two"))
    behind = make_run(tmp_path / "diary")

    def run(job, link):
        if job.spec["trial_id"] == "two":
            threading.Timer(0.2, os.kill, (os.getpid(), number)).start()
            time.sleep(30)
        behind(job, link)

    ignored = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores it for what it starts with &
    try:
        with pytest.raises(SweepInterruptedError, match="dgsweep run x"):
            sweep(tmp_path, plan, run)
    finally:
        signal.signal(signal.SIGINT, ignored)
    assert sweep(tmp_path, plan, behind).reused == 1


def test_the_driver_does_not_load_torch() -> None:
    found = "import dgsweep.execution.sweep, dgsweep.execution.starts, sys; print('torch' in sys.modules)"
    bare = found.replace("dgsweep.execution.starts, ", "")
    loaded = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
              for code in (bare, found)]  # fmt: skip
    assert loaded == ["False", "True"]
