"""The main job as a person runs it: from a sweep file to scores, MLflow and the report, again, extended, killed."""

import json
import signal
import time

import mlflow
import pandas as pd

from dgsweep.records.columns import CASE_COLUMNS
from dgsweep.records.ledger import Ledger


def test_a_sweep_file_becomes_scores_a_matrix_a_report_and_mlflow_runs(desk) -> None:
    desk.write(methods=["erm", "gin"])
    done = desk.run(*desk.inline())
    assert done.returncode == 0, done.stderr
    assert "2 trials run, 0 reused, 0 failed" in done.stdout
    assert "T2W" in done.stdout
    assert "mlflow ui --backend-store-uri" in done.stdout
    assert (desk.output / "report" / "report.html").stat().st_size > 100_000
    ledger = Ledger(desk.output)
    frame = pd.read_parquet(ledger.paths(ledger.read_plan().trials[0].trial_id).cases)
    assert tuple(frame.columns) == CASE_COLUMNS
    assert set(frame["role"]) == {"val", "in_domain", "target"}
    assert frame.loc[frame["role"] == "target", "sequence"].unique().tolist() == ["T2W"]
    runs = _runs(desk)
    assert sum("dgsweep.trial_id" in run.data.tags for run in runs) >= 2


def _runs(desk) -> list:
    client = mlflow.MlflowClient(f"sqlite:///{desk.folder / 'mlflow.db'}")
    return client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])


def test_running_again_runs_nothing_and_extending_runs_only_what_is_new(desk) -> None:
    desk.write()
    first = desk.sweep("--no-report")
    assert "1 trials run, 0 reused" in first.stdout, first.stderr
    before = desk.scores()
    assert "0 trials run, 1 reused" in desk.run(*desk.inline("--no-report")).stdout
    desk.write(seeds=[0, 1])
    assert "1 trials run, 1 reused" in desk.sweep("--no-report").stdout
    desk.write(methods=["erm", "gin"])
    assert "2 trials run, 2 reused" in desk.sweep("--no-report").stdout
    after = desk.scores()
    pd.testing.assert_frame_equal(before, after[after["trial_id"].isin(before["trial_id"])].reset_index(drop=True))
    assert after["trial_id"].nunique() == 4
    trials = [run for run in _runs(desk) if run.data.tags.get("dgsweep.kind") == "trial"]
    assert len(trials) == 4


def test_a_new_target_is_scored_from_the_kept_checkpoint_without_training_again(desk) -> None:
    desk.write()
    desk.sweep("--no-report")
    ledger = Ledger(desk.output)
    (trial,) = [spec.trial_id for spec in ledger.read_plan().trials]
    trained = (ledger.paths(trial).checkpoint / "final.pt").stat().st_mtime_ns
    old = desk.scores()
    desk.write(protocol={"kind": "explicit", "splits": [{"sources": ["*/T1W"], "targets": ["*/T2W", "*/OOP"]}]})
    assert "1 trials run, 0 reused" in desk.sweep("--no-report").stdout
    assert (ledger.paths(trial).checkpoint / "final.pt").stat().st_mtime_ns == trained
    new = desk.scores()
    assert set(new["sequence"]) == {"T1W", "T2W", "OOP"}
    kept = new[new["case_id"].isin(old["case_id"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(old, kept)


def test_killed_in_the_middle_it_resumes_to_the_same_numbers(desk, tmp_path) -> None:
    desk.write(budget={"steps": 40}, training={"batch": 2, "checkpoint_every": 4, "eval_every": 20})
    straight = desk.sweep("--no-report")
    assert straight.returncode == 0, straight.stderr
    expected = desk.scores()
    desk.output = desk.folder / "killed"
    desk.write(output=str(desk.output))
    process = desk.start("run", str(desk.file), "--executor", "inline", "--no-report")
    folder = desk.output / "trials" / expected["trial_id"][0] / "checkpoint"
    deadline = time.monotonic() + 120
    while not (folder / "last.pt").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (folder / "final.pt").exists(), "killed too late to prove anything"
    assert not (folder.parent / "DONE").exists()
    resumed = desk.sweep("--no-report")
    assert "1 trials run" in resumed.stdout, resumed.stderr
    pd.testing.assert_frame_equal(expected, desk.scores())


def test_inline_and_ray_give_the_same_numbers_to_the_last_digit(desk) -> None:
    desk.write(methods=["erm", "gin"])
    inline = desk.sweep("--no-report")
    assert inline.returncode == 0, inline.stderr
    expected = desk.scores()
    desk.output = desk.folder / "on_ray"
    desk.write(output=str(desk.output))
    on_ray = desk.run("run", str(desk.file), "--no-report")
    assert "2 trials run" in on_ray.stdout, on_ray.stderr
    pd.testing.assert_frame_equal(expected, desk.scores())
    assert expected.groupby("trial_id")["volume_ml"].sum().nunique() == 2


def test_a_trial_that_fails_is_named_with_its_cause_and_the_others_finish(desk) -> None:
    desk.write(methods=["erm", "gin"], training={"batch": 2, "learning_rate": 1e30, "grad_clip": 1e30}, seeds=[0])
    failed = desk.sweep("--no-report")
    assert failed.returncode == 1
    assert "Traceback" not in failed.stderr
    assert "not finite at step" in failed.stdout
    assert "to retry: dgsweep run" in failed.stdout
    desk.write(training={"batch": 2})
    assert desk.sweep("--no-report").returncode == 0


def test_plan_as_json_resolves_every_value_and_writes_nothing(desk) -> None:
    desk.write()
    shown = json.loads(desk.call("plan", str(desk.file), "--json").stdout)
    assert shown["totals"]["trials"] == 1
    assert shown["config"]["training"]["learning_rate"] == 0.01
    assert shown["trials"][0]["patch"] == [16, 16, 8]
    assert not desk.output.exists()


def test_the_probe_measures_steps_and_forecasts_time_disk_and_memory(desk) -> None:
    desk.write()
    forecast = json.loads(desk.run("plan", str(desk.file), "--probe", "--json").stdout)["forecast"]
    (measured,) = forecast["measured"]
    assert measured["s_per_step"] > 0
    assert 0.1 < measured["peak_memory_gb"] < 8
    assert measured["device"]
    busy_h = (6 * measured["s_per_step"] + 6 * measured["s_per_scored_case"]) / 3600
    assert 0 < forecast["totals"]["wall_h"] <= 3 * busy_h
    assert not desk.output.exists()


def test_status_tells_states_and_an_unrun_sweep_is_exit_2(desk) -> None:
    desk.write()
    assert desk.call("status", str(desk.file)).returncode == 2
    desk.sweep("--no-report")
    shown = json.loads(desk.call("status", str(desk.file), "--json").stdout)
    assert shown["counts"] == {"done": 1}


def test_a_request_that_nobody_can_meet_exits_2_and_leaves_no_folder(desk) -> None:
    desk.write(resources={"cpus_per_trial": 10_000})
    refused = desk.sweep()
    assert refused.returncode == 2
    assert "10000 core" in refused.stderr
    assert not desk.output.exists()


def test_run_as_json_is_one_document_with_the_matrix_and_what_to_open(desk) -> None:
    desk.write()
    done = desk.sweep("--json", "--set", f"output={desk.folder / 'elsewhere'}")
    shown = json.loads(done.stdout)
    assert (shown["run"], shown["reused"], shown["failed"]) == (1, 0, [])
    assert set(shown["matrix"][0]) == {"method", "trained_on", "T1W", "T2W"}
    assert "mlflow" in shown["mlflow"]
    assert (desk.folder / "elsewhere" / "report" / "report.html").samefile(shown["report"])
    assert desk.call("status", str(desk.file)).returncode == 2
    assert desk.call("status", str(desk.file), "--set", f"output={desk.folder / 'elsewhere'}").returncode == 0


def test_a_composition_runs_from_a_sweep_file_and_a_wrong_part_is_named(desk) -> None:
    desk.write(methods=["gin", {"name": "gin+erm", "hp": {"gin.layers": 4}}])
    done = desk.sweep("--no-report")
    assert "2 trials run" in done.stdout, done.stderr
    scores = desk.scores().set_index(["case_id", "method"])["volume_ml"].unstack()
    pd.testing.assert_series_equal(scores["gin"], scores["gin+erm"], check_names=False)
    desk.write(methods=["ginn+erm"])
    assert "did you mean `gin`?" in desk.sweep().stderr
    desk.write(methods=[{"name": "gin+erm", "hp": {"layers": 4}}])
    assert "did you mean `gin.layers`?" in desk.sweep().stderr
