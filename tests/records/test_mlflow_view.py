"""MLflow follows the ledger, survives an outage, and can be rebuilt without a run standing twice."""

import dataclasses
import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from mlflow import MlflowClient
from records_rows import DICE, write_trial

from dgsweep.records.ledger import Ledger
from dgsweep.records.mlflow_store import KIND_TAG
from dgsweep.records.mlflow_view import MlflowView

EXPERIMENT = "crosspan"


@pytest.fixture
def database(empty_database, tmp_path) -> Path:
    path = tmp_path / "tracking" / "mlflow.db"
    path.parent.mkdir()
    shutil.copy(empty_database, path)
    return path


@pytest.fixture
def uri(database) -> str:
    return f"sqlite:///{database}"


def view_of(uri: str, ledger: Ledger) -> MlflowView:
    return MlflowView(uri, EXPERIMENT, ledger.output)


def runs(uri: str, kind: str = "trial") -> dict:
    """Run name -> run of one kind; fails when two runs have one name."""
    client = MlflowClient(uri)
    found = client.search_runs(
        [client.get_experiment_by_name(EXPERIMENT).experiment_id], f"tags.`{KIND_TAG}` = '{kind}'"
    )
    assert len({run.info.run_name for run in found}) == len(found)
    return {run.info.run_name: run for run in found}


def run_ids(uri: str) -> set[str]:
    client = MlflowClient(uri)
    found = client.search_runs([client.get_experiment_by_name(EXPERIMENT).experiment_id])
    return {run.info.run_id for run in found}


def sweep(view: MlflowView, ledger: Ledger, plan) -> None:
    """Run the plan as the driver does: the first trial finishes, the second fails."""
    good, bad = plan.trials
    ledger.write_plan(plan)
    view.start(plan)
    view.trial_started(good)
    view.curve(good, 20, {"source_val_dice": 0.6})
    write_trial(ledger, good)
    view.trial_done(good, ledger)
    view.trial_started(bad)
    ledger.begin(bad)
    ledger.fail(bad.trial_id, "the loss became NaN", "nan_loss")
    view.trial_failed(bad, "the loss became NaN")
    view.sync(plan, ledger, {"source_val": {good.cell_id: good.trial_id}})
    view.finish("FAILED")


NAME = "erm | C1/T1W | fold 0 seed 0"


def test_a_sweep_is_a_parent_with_trials_and_summaries(uri, ledger, plan):
    sweep(view_of(uri, ledger), ledger, plan)
    (parent,) = runs(uri, "sweep").values()
    trials, summaries = runs(uri, "trial"), runs(uri, "summary")
    assert {name: run.info.status for name, run in trials.items()} == {
        f"{NAME} trial 0": "FINISHED",
        f"{NAME} trial 1": "FAILED",
    }
    assert list(summaries) == [f"{NAME} | source_val"]
    children = [*trials.values(), *summaries.values()]
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent.info.run_id}
    assert (parent.info.run_name, parent.info.status) == ("tiny", "FAILED")


def test_a_finished_trial_shows_scores_curves_parameters_tags_and_its_table(uri, ledger, plan):
    sweep(view_of(uri, ledger), ledger, plan)
    run = runs(uri)[f"{NAME} trial 0"]
    assert run.data.metrics["dice/C2/T1W"] == DICE["t1"]
    assert run.data.metrics["dice/target"] == 0.375
    assert run.data.params["training.learning_rate"] == "0.01"
    expected = {"method": "erm", "network": "unet_tiny", "sources": "C1/T1W", "fold": "0", "seed": "0", "trial": "0"}
    assert {key: run.data.tags[f"dgsweep.{key}"] for key in expected} == expected
    assert run.data.tags["dgsweep.trial_id"] == plan.trials[0].trial_id
    client = MlflowClient(uri)
    curve = client.get_metric_history(run.info.run_id, "curve/source_val_dice/C1/T1W")
    assert sorted((point.step, point.value) for point in curve) == [(20, 0.6), (40, 0.9)]
    live = client.get_metric_history(run.info.run_id, "curve/source_val_dice")
    assert [(point.step, point.value) for point in live] == [(20, 0.6)]
    assert [file.path for file in client.list_artifacts(run.info.run_id)] == [
        "cases.csv",
        "provenance.json",
        "spec.json",
    ]


def test_a_failed_trial_shows_its_cause(uri, ledger, plan):
    sweep(view_of(uri, ledger), ledger, plan)
    assert runs(uri)[f"{NAME} trial 1"].data.tags["dgsweep.cause"] == "the loss became NaN"


def test_artifacts_lie_beside_the_database_and_not_in_the_current_folder(
    uri, database, ledger, plan, monkeypatch, tmp_path
):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    report = tmp_path / "report.html"
    report.write_text("<p>page")
    view = view_of(uri, ledger)
    sweep(view, ledger, plan)
    view.artifacts([report])
    assert list((tmp_path / "elsewhere").iterdir()) == []
    names = {path.name for path in (database.parent / "mlartifacts").rglob("*") if path.is_file()}
    assert {"plan.json", "config.yaml", "report.html", "cases.csv"} <= names


def test_a_second_sync_sends_nothing(uri, ledger, plan):
    sweep(view_of(uri, ledger), ledger, plan)
    before = {name: run.data.metrics for name, run in runs(uri).items()}, run_ids(uri)
    client = MlflowClient(uri)
    points = len(client.get_metric_history(runs(uri)[f"{NAME} trial 0"].info.run_id, "dice/target"))
    again = view_of(uri, ledger)
    again.sync(plan, ledger, {"source_val": {"cell0": plan.trials[0].trial_id}})
    assert ({name: run.data.metrics for name, run in runs(uri).items()}, run_ids(uri)) == before
    history = client.get_metric_history(runs(uri)[f"{NAME} trial 0"].info.run_id, "dice/target")
    assert len(history) == points == 1


def test_a_rerun_of_the_sweep_goes_on_in_the_same_runs(uri, ledger, plan):
    sweep(view_of(uri, ledger), ledger, plan)
    before = run_ids(uri)
    again, bad = view_of(uri, ledger), plan.trials[1]
    again.start(plan)
    again.trial_started(bad)
    assert runs(uri)[f"{NAME} trial 1"].info.status == "RUNNING"
    write_trial(ledger, bad)
    again.trial_done(bad, ledger)
    again.finish("FINISHED")
    assert run_ids(uri) == before
    assert {run.info.status for run in runs(uri).values()} == {"FINISHED"}
    assert runs(uri)[f"{NAME} trial 1"].data.tags["dgsweep.cause"] == ""


def test_lost_run_ids_are_found_again_by_tag(uri, ledger, plan):
    sweep(view_of(uri, ledger), ledger, plan)
    before, kept = run_ids(uri), ledger.files.mlflow.read_text()
    ledger.files.mlflow.unlink()
    view_of(uri, ledger).sync(plan, ledger, {})
    assert run_ids(uri) == before
    assert json.loads(ledger.files.mlflow.read_text()) == json.loads(kept)


def test_the_ledger_alone_rebuilds_a_lost_database(uri, database, empty_database, ledger, plan):
    sweep(view_of(uri, ledger), ledger, plan)
    before = {**runs(uri), **runs(uri, "summary")}
    shutil.copy(empty_database, database)
    view = view_of(uri, ledger)
    view.sync(plan, ledger, {"source_val": {"cell0": plan.trials[0].trial_id}})
    view.finish("FAILED")
    after = {**runs(uri), **runs(uri, "summary")}
    assert after.keys() == before.keys()
    for name, run in before.items():
        live_only = {"curve/source_val_dice"}
        assert after[name].data.metrics == {k: v for k, v in run.data.metrics.items() if k not in live_only}
        assert after[name].data.params == run.data.params
        assert after[name].info.status == run.info.status
    assert not {run.info.run_id for run in after.values()} & {run.info.run_id for run in before.values()}


def test_a_run_that_stands_twice_is_reduced_to_one(uri, ledger, plan):
    sweep(view_of(uri, ledger), ledger, plan)
    before, client = run_ids(uri), MlflowClient(uri)
    run = runs(uri)[f"{NAME} trial 0"]
    client.create_run(run.info.experiment_id, tags=run.data.tags, run_name=run.info.run_name)
    assert len(run_ids(uri)) == len(before) + 1
    view_of(uri, ledger).sync(plan, ledger, {})
    assert run_ids(uri) == before


def test_two_outputs_in_one_experiment_keep_their_runs_apart(uri, ledger, plan, tmp_path):
    sweep(view_of(uri, ledger), ledger, plan)
    before, other = run_ids(uri), Ledger(tmp_path / "other")
    sweep(view_of(uri, other), other, plan)
    assert before < run_ids(uri)
    assert len(run_ids(uri)) == 2 * len(before)


def test_a_new_target_score_updates_the_same_run(uri, ledger, plan, wider):
    sweep(view_of(uri, ledger), ledger, plan)
    before = run_ids(uri)
    wide = dataclasses.replace(plan, trials=(wider, plan.trials[1]))
    write_trial(ledger, wider)
    view_of(uri, ledger).sync(wide, ledger, {})
    run = runs(uri)[f"{NAME} trial 0"]
    assert run_ids(uri) == before
    assert run.data.metrics["dice/C3/T2W"] == 0.1
    assert run.data.metrics["dice/target"] == pytest.approx((0.5 + 0.25 + 0.1) / 3)


def test_a_summary_follows_the_selection(uri, ledger, plan):
    sweep(view_of(uri, ledger), ledger, plan)
    second = plan.trials[1]
    write_trial(ledger, second)
    view_of(uri, ledger).sync(plan, ledger, {"source_val": {"cell0": second.trial_id}})
    (summary,) = runs(uri, "summary").values()
    assert summary.data.tags["dgsweep.trial_id"] == second.trial_id
    assert summary.data.tags["dgsweep.rule"] == "source_val"


def test_a_driver_that_stops_leaves_no_run_that_shows_as_running(uri, ledger, plan):
    view = view_of(uri, ledger)
    view.start(plan)
    view.trial_started(plan.trials[0])
    assert runs(uri)[f"{NAME} trial 0"].info.status == "RUNNING"
    view.finish("KILLED")
    assert runs(uri)[f"{NAME} trial 0"].info.status == "KILLED"
    assert runs(uri, "sweep")["tiny"].info.status == "KILLED"


def test_a_request_that_mlflow_refuses_does_not_stop_the_others(uri, ledger, plan, caplog):
    view = view_of(uri, ledger)
    sweep(view, ledger, plan)
    view.artifacts([ledger.output / "not-there.html"])
    assert "refused a request" in caplog.text
    view.finish("FINISHED")
    assert runs(uri, "sweep")["tiny"].info.status == "FINISHED"


def test_passwords_in_the_configuration_are_not_uploaded(uri, database, ledger, plan):
    config = {"tracking": {"uri": "https://anna:geheim@tracking.example/mlflow"}}
    secret = dataclasses.replace(plan, config=config)
    ledger.write_plan(secret)
    view_of(uri, ledger).start(secret)
    texts = [path.read_text() for path in (database.parent / "mlartifacts").rglob("*") if path.is_file()]
    assert len(texts) == 2
    assert all("geheim" not in text and "https://tracking.example" in text for text in texts)


def test_passwords_in_the_address_are_neither_kept_nor_logged(ledger, plan, caplog, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    view = view_of(f"http://anna:geheim@127.0.0.1:{free_port()}", ledger)
    view.start(plan)
    assert "127.0.0.1" in caplog.text
    assert "geheim" not in caplog.text
    assert not ledger.files.mlflow.exists()


CREATOR = """
    import sys, pathlib
    from dgsweep.records.mlflow_view import MlflowView
    from dgsweep.records.ledger import Ledger
    ledger = Ledger(pathlib.Path(sys.argv[2]))
    view = MlflowView(sys.argv[1], "crosspan", ledger.output)
    print("ready", flush=True)
    sys.stdin.readline()
    view.start(ledger.read_plan())
"""


def test_drivers_that_start_together_on_no_database_all_get_their_run(tmp_path, plan):
    uri = f"sqlite:///{tmp_path}/new/mlflow.db"
    starters = []
    for number in range(3):
        ledger = Ledger(tmp_path / f"run{number}")
        ledger.write_plan(dataclasses.replace(plan, sweep=f"sweep{number}"))
        command = [sys.executable, "-c", textwrap.dedent(CREATOR), uri, str(ledger.output)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        starters.append(subprocess.Popen(command, text=True, **pipes))
    assert [starter.stdout.readline() for starter in starters] == ["ready\n"] * 3
    for starter in starters:
        starter.stdin.write("go\n")
        starter.stdin.flush()
    errors = [starter.communicate()[1] for starter in starters]
    assert [error for error in errors if "MLflow" in error] == []
    assert set(runs(uri, "sweep")) == {"sweep0", "sweep1", "sweep2"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A real `mlflow server` on loopback, that can be killed and started again."""

    def __init__(self, database: Path) -> None:
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self._database = database
        self._log = database.with_suffix(".log").open("wb")
        self._process: subprocess.Popen | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", f"sqlite:///{self._database}"]
        command += ["--artifacts-destination", str(self._database.parent / "served"), "--workers", "1"]
        command += ["--host", "127.0.0.1", "--port", str(self.port)]
        environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        self._process = subprocess.Popen(
            command,
            env=environment,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
            cwd=self._database.parent,
        )
        deadline = time.monotonic() + 240
        while not self._healthy():
            assert time.monotonic() < deadline, self._database.with_suffix(".log").read_text()
            time.sleep(0.2)

    def kill(self) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def _healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=2) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            return False


@pytest.fixture
def server(database):
    server = Server(database)
    try:
        server.start()
        yield server
    finally:
        server.kill()


def test_a_server_that_dies_in_the_middle_stops_nothing_and_sync_repairs(server, ledger, plan, caplog):
    good, other = plan.trials
    ledger.write_plan(plan)
    view = view_of(server.uri, ledger)
    view.start(plan)
    view.trial_started(good)
    view.curve(good, 20, {"source_val_dice": 0.6})

    server.kill()
    began_s = time.monotonic()
    with caplog.at_level(logging.WARNING, logger="dgsweep"):
        for spec in (good, other):
            write_trial(ledger, spec)
            view.trial_done(spec, ledger)
            view.trial_started(other)
            view.curve(other, 20, {"source_val_dice": 0.5})
        view.sync(plan, ledger, {})
        view.finish("FINISHED")
    assert time.monotonic() - began_s < 60
    assert caplog.text.count("cannot be reached") == 1
    assert [ledger.state(spec) for spec in plan.trials] == ["done", "done"]

    server.start()
    selected = {"source_val": {"cell0": good.trial_id}}
    for attempt in (view, view_of(server.uri, ledger)):
        attempt.sync(plan, ledger, selected)
        attempt.finish("FINISHED")
    found = runs(server.uri)
    assert {name: run.info.status for name, run in found.items()} == {
        f"{NAME} trial 0": "FINISHED",
        f"{NAME} trial 1": "FINISHED",
    }
    assert found[f"{NAME} trial 0"].data.metrics["dice/target"] == 0.375
    assert len(run_ids(server.uri)) == 4
