"""The ledger says what is finished, and nothing else counts as finished."""

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pandas as pd
import pytest
from records_rows import case_rows, curve_rows, write_trial

from dgsweep.errors import InputError
from dgsweep.records.atomic import RecordError
from dgsweep.records.columns import CASE_COLUMNS, CURVE_COLUMNS
from dgsweep.records.ledger import Ledger
from dgsweep.records.state import TrialState

DESIGN_COLUMNS = [
    "trial_id",
    "method",
    "variant",
    "setting",
    "label_ratio",
    "prompt",
    "panel",
    "network",
    "sources",
    "fold",
    "seed",
    "trial",
    "step",
    "domain",
    "role",
    "case_id",
    "patient_id",
    "center",
    "sequence",
    "label",
    "dice",
    "jaccard",
    "precision",
    "recall",
    "hd95_mm",
    "hd95_pooled_mm",
    "assd_mm",
    "nsd",
    "tau_mm",
    "volume_ml",
    "volume_ref_ml",
    "volume_error",
    "distance_penalised",
    "empty_prediction",
    "empty_reference",
    "wall_s",
]


def test_columns_are_those_of_the_design_in_order(ledger, spec):
    write_trial(ledger, spec)
    shuffled = case_rows(spec)[sorted(CASE_COLUMNS)]
    ledger.write_cases(spec.trial_id, shuffled)
    assert list(pd.read_parquet(ledger.paths(spec.trial_id).cases).columns) == DESIGN_COLUMNS
    assert list(CURVE_COLUMNS) == ["step", "role", "domain", "metric", "value"]


def test_file_names_are_those_of_the_design(ledger, spec):
    write_trial(ledger, spec)
    found = {path.name for path in (ledger.output / "trials" / spec.trial_id).iterdir()}
    assert found == {"spec.json", "curves.parquet", "cases.parquet", "provenance.json", "DONE"}
    paths = ledger.paths(spec.trial_id)
    assert paths.checkpoint.name == "checkpoint"
    assert paths.prediction("C1_p3").relative_to(paths.root) == Path("predictions/C1_p3.nii.gz")


def test_spec_json_holds_the_split_by_role(ledger, spec):
    write_trial(ledger, spec)
    plain = json.loads(ledger.paths(spec.trial_id).spec.read_text())
    assert plain["split"] == {"train": ["a1"], "val": ["v1"], "test": ["s1"], "target": ["t1", "t2"]}
    assert ledger.spec(spec.trial_id) == spec


def test_a_trial_goes_from_planned_over_running_to_done(ledger, spec):
    assert ledger.state(spec) is TrialState.PLANNED
    ledger.begin(spec)
    ledger.heartbeat(spec.trial_id, {"step": 3, "steps": 40, "phase": "train"})
    assert ledger.state(spec) == "running"
    assert ledger.status(spec).progress["step"] == 3
    write_trial(ledger, spec)
    assert ledger.state(spec) == "done"


def test_an_old_heartbeat_does_not_count_as_running(ledger, spec):
    ledger.begin(spec)
    path = ledger.paths(spec.trial_id).heartbeat

    def written(s_ago: float, by_its_clock_s_ago: float) -> str:
        path.write_text(json.dumps({"step": 7, "time": time.time() - by_its_clock_s_ago}))
        os.utime(path, (time.time() - s_ago, time.time() - s_ago))
        return ledger.state(spec)

    assert written(119, 119) == "running"
    assert written(121, 121) == "planned"
    assert ledger.status(spec).cause == "interrupted at step 7"
    assert written(10, 7200) == written(10, -7200) == "running"  # the clock of its node is two hours off
    assert written(130, 7200) == written(130, -7200) == "planned"


def test_a_failure_is_kept_with_its_cause_until_the_trial_runs_again(ledger, spec):
    ledger.begin(spec)
    ledger.fail(spec.trial_id, "the loss became NaN at step 9", "nan_loss", "Traceback ...")
    status = ledger.status(spec)
    assert (status.state, status.cause) == ("failed", "the loss became NaN at step 9")
    assert ledger.failure(spec.trial_id)["kind"] == "nan_loss"
    ledger.begin(spec)
    assert ledger.state(spec) == "running"
    assert ledger.failure(spec.trial_id) == {}


def test_a_trial_that_a_scheduler_stopped_is_pruned(ledger, spec):
    ledger.begin(spec)
    ledger.fail(spec.trial_id, "rung 2", "pruned")
    assert ledger.state(spec) == "pruned"


@pytest.mark.parametrize("name", ["cases.parquet", "curves.parquet", "provenance.json", "spec.json"])
def test_done_beside_a_changed_file_is_not_done_and_says_which(ledger, spec, name):
    write_trial(ledger, spec)
    path = ledger.output / "trials" / spec.trial_id / name
    path.write_bytes(path.read_bytes() + b" ")
    status = ledger.status(spec)
    assert status.state != "done"
    assert name in status.cause


def test_done_that_is_cut_off_is_not_done(ledger, spec):
    write_trial(ledger, spec)
    path = ledger.paths(spec.trial_id).done
    path.write_bytes(path.read_bytes()[:-20])
    assert ledger.state(spec) == "planned"
    assert "DONE" in ledger.status(spec).cause


def test_a_broken_record_with_a_checkpoint_needs_scores_only(ledger, spec):
    write_trial(ledger, spec)
    paths = ledger.paths(spec.trial_id)
    paths.cases.write_bytes(b"")
    paths.checkpoint.mkdir()
    (paths.checkpoint / "weights.pt").write_bytes(b"w")
    assert ledger.state(spec) == "stale"
    assert ledger.status(spec).unscored == ("v1", "s1", "t1", "t2")


def test_a_new_target_case_makes_the_trial_stale_and_keeps_the_other_scores(ledger, spec, wider):
    write_trial(ledger, spec)
    status = ledger.status(wider)
    assert (status.state, status.unscored) == ("stale", ("t3",))
    assert sorted(ledger.valid_cases(wider)["case_id"]) == ["s1", "t1", "t2", "v1"]
    assert ledger.state(spec) == "done"


def test_a_changed_label_makes_only_that_case_stale(ledger, spec):
    write_trial(ledger, spec)
    changed = dataclasses.replace(spec, score_shas={**spec.score_shas, "t1": "other"})
    assert ledger.status(changed).unscored == ("t1",)


def test_a_kill_between_begin_and_finish_of_a_stale_trial_loses_no_score(ledger, spec, wider):
    write_trial(ledger, spec)
    ledger.begin(wider)
    ledger.paths(spec.trial_id).heartbeat.unlink()
    assert ledger.status(wider).unscored == ("t3",)
    assert ledger.state(spec) == "done"
    write_trial(ledger, wider)
    assert ledger.state(wider) == "done"
    assert ledger.state(spec) == "done"


def test_a_narrower_plan_sees_only_its_own_cases(ledger, spec, wider, plan):
    write_trial(ledger, wider)
    assert sorted(ledger.cases_frame(plan)["case_id"]) == ["s1", "t1", "t2", "v1"]
    wide_plan = dataclasses.replace(plan, trials=(wider,))
    assert sorted(ledger.cases_frame(wide_plan)["case_id"]) == ["s1", "t1", "t2", "t3", "v1"]


def test_the_date_of_the_first_begin_stays(ledger, spec):
    ledger.begin(spec)
    created = ledger.created(spec.trial_id)
    assert re.match(r"\d{4}-\d\d-\d\dT", created)
    time.sleep(0.01)
    ledger.begin(dataclasses.replace(spec, trial=4))
    assert ledger.created(spec.trial_id) == created
    assert ledger.spec(spec.trial_id).trial == 4


def test_finish_refuses_a_trial_with_a_missing_score(ledger, spec, wider):
    write_trial(ledger, spec)
    with pytest.raises(RecordError, match="no score of 1 cases, first 't3'"):
        ledger.finish(wider.trial_id, wider)


def test_finish_refuses_a_trial_with_a_missing_file(ledger, spec):
    ledger.begin(spec)
    ledger.write_cases(spec.trial_id, case_rows(spec))
    with pytest.raises(RecordError, match=r"curves.parquet, provenance.json not written"):
        ledger.finish(spec.trial_id, spec)


def test_rows_with_wrong_columns_are_refused_with_every_problem(ledger, spec):
    rows = case_rows(spec).drop(columns=["dice", "hd95_mm"]).assign(extra=1)
    with pytest.raises(RecordError) as caught:
        ledger.write_cases(spec.trial_id, rows)
    assert all(
        name in str(caught.value) for name in ("'dice' is missing", "'hd95_mm' is missing", "'extra' is unknown")
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"role": "test"}, "role 'test'"),
        ({"step": "x"}, "'step' must hold int64"),
        ({"case_id": "t1"}, "two rows share"),
        ({"domain": None}, "'domain' has 4 missing"),
        ({"trial_id": "cccc"}, "rows of trial cccc"),
    ],
)
def test_rows_with_wrong_values_are_refused(ledger, spec, change, said):
    with pytest.raises(RecordError, match=said):
        ledger.write_cases(spec.trial_id, case_rows(spec).assign(**change))
    assert not ledger.paths(spec.trial_id).cases.exists()


def test_what_is_read_back_equals_what_was_written(ledger, spec, plan):
    write_trial(ledger, spec)
    rows = ledger.cases_frame(plan)
    assert rows[["variant", "prompt"]].isna().all(axis=None)
    written = case_rows(spec).drop(columns=["variant", "prompt"])
    pd.testing.assert_frame_equal(rows.drop(columns=["variant", "prompt"]), written, check_dtype=False)
    curves = ledger.curves_frame(plan)
    assert list(curves["trial_id"].unique()) == [spec.trial_id]
    pd.testing.assert_frame_equal(curves.drop(columns="trial_id"), curve_rows(), check_dtype=False)


def test_frames_of_an_empty_ledger_have_all_columns(ledger, plan):
    assert list(ledger.cases_frame(plan).columns) == DESIGN_COLUMNS
    assert list(ledger.curves_frame(plan).columns) == ["trial_id", *CURVE_COLUMNS]
    assert list(ledger.states(plan)["state"]) == ["planned", "planned"]


def test_states_lists_every_trial_of_the_plan(ledger, plan):
    write_trial(ledger, plan.trials[0])
    ledger.begin(plan.trials[1])
    ledger.fail(plan.trials[1].trial_id, "out of memory", "out_of_memory")
    states = ledger.states(plan).set_index("trial")
    assert list(states["state"]) == ["done", "failed"]
    assert states.loc[1, "cause"] == "out of memory"


def test_the_plan_can_be_read_back(ledger, plan):
    ledger.write_plan(plan)
    assert ledger.read_plan() == plan
    assert (ledger.output / "plan.json").exists()


WRITER = """
    import sys, pickle, pathlib
    from dgsweep.records import ledger as room
    spec, rows, curves, output, where = pickle.load(sys.stdin.buffer)
    ledger = room.Ledger(pathlib.Path(output))
    def pause(*_, **__):
        print("now", flush=True)
        sys.stdin.read() or __import__("time").sleep(60)
    ledger.begin(spec)
    ledger.write_curves(spec.trial_id, curves)
    ledger.write_cases(spec.trial_id, rows)
    ledger.write_provenance(spec.trial_id, {})
    if where == "before DONE":
        pause()
    from dgsweep.storage import files
    files.os.fsync = lambda fd: pause()
    ledger.finish(spec.trial_id, spec)
"""


@pytest.mark.parametrize("where", ["before DONE", "inside DONE"])
def test_a_writer_killed_in_the_middle_leaves_no_done(ledger, spec, where):
    import pickle

    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(WRITER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    process.stdin.write(pickle.dumps((spec, case_rows(spec), curve_rows(), str(ledger.output), where)))
    process.stdin.flush()
    assert process.stdout.readline() == b"now\n"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdin.close()
    paths = ledger.paths(spec.trial_id)
    assert not paths.done.exists()
    assert ledger.state(spec) == "running"
    assert bool(list(paths.root.glob(".*.tmp"))) == (where == "inside DONE")
    write_trial(ledger, spec)
    assert ledger.state(spec) == "done"
    assert not list(paths.root.glob(".*.tmp"))


HOLDER = """
    import sys, pathlib
    from dgsweep.records.ledger import Ledger
    with Ledger(pathlib.Path(sys.argv[1])).lock():
        print("held", flush=True)
        sys.stdin.read()
"""


def test_a_second_driver_on_the_same_output_is_refused_until_the_first_is_gone(ledger):
    command = [sys.executable, "-c", textwrap.dedent(HOLDER), str(ledger.output)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(InputError, match=f"process {holder.pid}"), ledger.lock():
            pass
        with Ledger(ledger.output.parent / "other").lock():
            pass
        holder.kill()
        holder.wait()
    with ledger.lock():
        assert ledger.files.driver.exists()


def test_the_ledger_imports_neither_mlflow_nor_torch_nor_ray():
    code = (
        "import sys, dgsweep.records.ledger as _; print(sorted({'torch', 'mlflow', 'ray', 'monai'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
    control = code.replace("as _;", "as _; import mlflow;")
    run = subprocess.run([sys.executable, "-c", control], capture_output=True, text=True, check=True)
    assert "mlflow" in run.stdout


@pytest.mark.parametrize("trial_id", ["../outside", "a/b", "", ".hidden", "a" * 200])
def test_a_trial_id_cannot_leave_the_ledger(ledger, trial_id):
    with pytest.raises(RecordError, match="trial id"):
        ledger.paths(trial_id)


def test_case_ids_keep_their_predictions_apart_and_inside_the_folder(ledger, spec):
    paths = ledger.paths(spec.trial_id)
    ids = ["../x", "a/b", "a%2Fb", "a_b", "..", "é", "a\\b"]
    files = [paths.prediction(case_id) for case_id in ids]
    assert len(set(files)) == len(ids)
    assert {file.resolve().parent for file in files} == {paths.predictions.resolve()}


def test_provenance_names_versions_and_no_machine():
    import socket

    import dgsweep
    from dgsweep.records.provenance import collect

    found = collect()
    assert found["dgsweep"] == dgsweep.__version__
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert found["packages"]["torch"].startswith("2.")
    assert re.fullmatch(r"[0-9a-f]{40}\+?", found["commit"])
    assert socket.gethostname() not in json.dumps(found).split('"')
