"""A sweep that is done asks MLflow for one run, and looks at everything again as soon as that may have changed."""

import shutil

import pytest
from mlflow import MlflowClient
from records_rows import write_trial

from dgsweep.records.ledger import Ledger
from dgsweep.records.mlflow_view import MlflowView

STATE = "of the plan"


@pytest.fixture
def uri(tmp_path, empty_database) -> str:
    shutil.copyfile(empty_database, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path / 'mlflow.db'}"


def view_of(uri: str, ledger: Ledger, experiment: str = "crosspan") -> MlflowView:
    return MlflowView(uri, experiment, ledger.output)


@pytest.fixture
def done(uri, ledger, plan) -> Ledger:
    """A ledger whose driver has brought MLflow up to date, and said so."""
    ledger.write_plan(plan)
    view = view_of(uri, ledger)
    view.start(plan)
    for spec in plan.trials:
        write_trial(ledger, spec)
    assert view.sync(plan, ledger, {})
    assert view.finish("FINISHED")
    view.complete(STATE)
    return ledger


def test_what_a_driver_left_complete_is_believed_for_the_same_state_address_and_experiment(uri, done, tmp_path):
    assert view_of(uri, done).is_complete(STATE)
    assert not view_of(uri, done).is_complete("another plan")
    assert not view_of(uri, done, "other").is_complete(STATE)
    assert not view_of(f"sqlite:///{tmp_path / 'new.db'}", done).is_complete(STATE)


def test_a_driver_that_starts_takes_the_mark_away_even_when_mlflow_is_out(uri, done, plan, tmp_path):
    (tmp_path / "mlflow.db").rename(tmp_path / "gone.db")
    (tmp_path / "mlflow.db").mkdir()
    view_of(uri, done).start(plan)
    (tmp_path / "mlflow.db").rmdir()
    (tmp_path / "gone.db").rename(tmp_path / "mlflow.db")
    assert not view_of(uri, done).is_complete(STATE)


def test_a_run_that_was_deleted_for_good_or_has_not_ended_is_not_complete(uri, done):
    client = MlflowClient(uri)
    (run,) = [
        run
        for run in client.search_runs([client.get_experiment_by_name("crosspan").experiment_id])
        if run.data.tags["dgsweep.kind"] == "sweep"
    ]
    client.set_terminated(run.info.run_id, "KILLED")
    assert not view_of(uri, done).is_complete(STATE)
    client.set_terminated(run.info.run_id, "FINISHED")
    assert view_of(uri, done).is_complete(STATE)
    client.delete_run(run.info.run_id)
    assert not view_of(uri, done).is_complete(STATE)


def test_a_part_that_mlflow_refused_leaves_no_mark(uri, ledger, plan, tmp_path):
    ledger.write_plan(plan)
    view = view_of(uri, ledger)
    view.start(plan)
    view.artifacts([tmp_path / "not-there.html"])
    view.finish("FINISHED")
    view.complete(STATE)
    assert not view_of(uri, ledger).is_complete(STATE)
