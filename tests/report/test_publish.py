"""The report's page and overlays of selected trials stand in MLflow, unless a server would see patients."""

import shutil

import pytest
from mlflow import MlflowClient
from report_sweep import small, write_case_files, write_sweep

from dgsweep.analysis.selection import select
from dgsweep.config.schema import TrackingConfig
from dgsweep.records.ledger import Ledger
from dgsweep.records.mlflow_view import MlflowView
from dgsweep.report import publish as module
from dgsweep.report import write_report
from dgsweep.report.evidence import read_evidence
from dgsweep.report.publish import publish


@pytest.fixture(scope="module")
def reported(tmp_path_factory, empty_database):
    """A sweep with kept masks, its report, and a database for all tests."""
    folder = tmp_path_factory.mktemp("reported")
    shutil.copyfile(empty_database, folder / "mlflow.db")
    plan = write_sweep(folder / "runs", small())
    write_case_files(folder / "runs", plan)
    write_report(folder / "runs")
    return folder


@pytest.fixture
def shown(reported, tmp_path):
    """A copy of it whose trials and summaries stand in an experiment of its own; output, page, and where they stand."""
    output = shutil.copytree(reported / "runs", tmp_path / "runs")
    ledger = Ledger(output)
    plan = ledger.read_plan()
    tracking = TrackingConfig(uri=f"sqlite:///{reported / 'mlflow.db'}", experiment=tmp_path.name)
    view = MlflowView(tracking.uri, tracking.experiment, output)
    view.start(plan)
    chosen = select("source_val", plan, ledger.cases_frame(plan), ledger.curves_frame(plan))
    assert view.sync(plan, ledger, {"source_val": chosen})
    view.finish("FINISHED")
    return output, output / "report" / "report.html", tracking


def artifacts(tracking) -> dict[str, list[str]]:
    """Kind of run -> paths of its artifacts, one level down."""
    client = MlflowClient(tracking.uri)
    experiment = client.get_experiment_by_name(tracking.experiment).experiment_id
    found: dict[str, list[str]] = {}
    for run in client.search_runs([experiment]):
        for one in client.list_artifacts(run.info.run_id):
            inner = client.list_artifacts(run.info.run_id, one.path) if one.is_dir else [one]
            found.setdefault(run.data.tags["dgsweep.kind"], []).extend(item.path for item in inner)
    return found


def test_the_sweeps_run_has_page_and_tables_and_selected_trials_have_overlays(shown):
    output, page, tracking = shown
    publish(read_evidence(output), page, tracking, sweep="x")
    found = artifacts(tracking)
    assert "report.html" in found["sweep"]
    assert "tables/cases.csv" in found["sweep"]
    assert any(path.startswith("overlays/best_") and path.endswith(".png") for path in found["summary"])
    assert not any("overlays" in path for path in found["trial"])


def test_overlays_are_drawn_once(shown, monkeypatch):
    output, page, tracking = shown
    publish(read_evidence(output), page, tracking, sweep="x")
    before = artifacts(tracking)
    monkeypatch.setattr(module, "draw", lambda *_: pytest.fail("drawn again"))
    publish(read_evidence(output), page, tracking, sweep="x")
    assert artifacts(tracking) == before


@pytest.mark.parametrize(("wanted", "remote"), [(False, False), (None, True)])
def test_pictures_stay_here_when_they_are_not_wanted_or_would_go_to_a_server(shown, monkeypatch, wanted, remote):
    output, page, tracking = shown
    monkeypatch.setattr(module, "is_remote", lambda _: remote)
    publish(read_evidence(output), page, tracking.model_copy(update={"pictures": wanted}), sweep="x")
    found = artifacts(tracking)
    assert "report.html" not in found["sweep"]
    assert "tables/cases.csv" in found["sweep"]
    assert not any("overlays" in path for path in found["summary"])


def test_summary_runs_have_the_learning_curves_of_their_trial(shown):
    _, _, tracking = shown
    client = MlflowClient(tracking.uri)
    experiment = client.get_experiment_by_name(tracking.experiment).experiment_id
    run = client.search_runs([experiment], "tags.`dgsweep.kind` = 'summary'")[0]
    curves = [name for name in run.data.metrics if name.startswith("curve/")]
    assert curves
    assert max(len(client.get_metric_history(run.info.run_id, name)) for name in curves) > 1
