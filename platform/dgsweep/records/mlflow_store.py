"""A thin layer over MlflowClient: every call may be repeated without leaving anything twice."""

import logging
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dgsweep.records import mlflow_quiet  # noqa: F401 - sets what mlflow reads when it is imported
from dgsweep.records.mlflow_password import use_password_file

# isort: split
from filelock import FileLock
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag, ViewType
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

OUTAGES = (MlflowException, SQLAlchemyError, OSError)
"""What MLflow raises when a server, a database, a disk or a name gives way; requests' errors are OSErrors."""

SWEEP_TAG = "dgsweep.sweep_id"
KIND_TAG = "dgsweep.kind"
KEY_TAG = "dgsweep.key"
RECORD_TAG = "dgsweep.record"
"""Fingerprint of the record that a run shows; set last, so that a run with the right one is complete."""
PARENT_TAG = "mlflow.parentRunId"

_BATCH = 100
"""log_batch takes up to 100 parameters, 100 tags and 1000 metrics."""


@dataclass(frozen=True, kw_only=True)
class RunKey:
    """What makes a run the only one of its kind in a sweep."""

    kind: str
    """sweep, trial or summary."""
    key: str
    """'' for the sweep, the trial id, or `rule cell_id`."""


@dataclass(frozen=True, kw_only=True)
class RunHead:
    """What a run is created with."""

    name: str
    tags: Mapping[str, str]
    parent: str = ""
    start_ms: int | None = None


@dataclass(frozen=True, kw_only=True)
class RunBody:
    """What a run shows."""

    metrics: Mapping[str, float] = field(default_factory=dict)
    step: int = 0
    time_ms: int = 0
    """Given by the record, so that the same metric logged twice is one point."""
    params: Mapping[str, str] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    """Artifact name -> content."""


def run_status(uri: str, run_id: str) -> str:
    """RUNNING, FINISHED, FAILED or KILLED; '' when it was deleted.

    Raises one of OUTAGES when there never was such a run, or the store cannot be reached.
    """
    found = _one_run(uri, run_id).info
    return str(found.status) if found.lifecycle_stage == "active" else ""


def run_tag(uri: str, run_id: str, tag: str) -> str:
    """A tag of any run; one of OUTAGES when there is no such run or tag, or the store cannot be reached."""
    tags = _one_run(uri, run_id).data.tags
    if tag not in tags:
        raise MlflowException(f"the run {run_id} has no tag {tag}: it shows no trial")
    return str(tags[tag])


def _one_run(uri: str, run_id: str) -> Run:
    use_password_file()
    with _created_once(uri):
        return MlflowClient(uri).get_run(run_id)


class MlflowStore:
    """Runs of one sweep in one experiment, each found again by its key."""

    def __init__(self, uri: str, experiment: str, sweep_id: str) -> None:
        """Open the store, making database and experiment where they are missing; one of OUTAGES when it cannot."""
        self._sweep_id = sweep_id
        use_password_file()
        with _created_once(uri):
            self._client = MlflowClient(uri)
            self.experiment_id = self._experiment(experiment, _artifact_root(uri))
        self._runs: dict[RunKey, Run] = {}
        self._find_runs()

    def ping(self) -> None:
        """Do nothing but reach the store; one of OUTAGES when it cannot be reached."""
        self._client.get_experiment(self.experiment_id)

    def find(self, key: RunKey) -> Run | None:
        """The run of a key, as it was when it was last read; None when there is none."""
        return self._runs.get(key)

    def status(self, key: RunKey) -> str:
        """RUNNING, FINISHED, FAILED, KILLED; '' when there is no run."""
        run = self._runs.get(key)
        return str(run.info.status) if run else ""

    def shows(self, key: RunKey, record: str, status: str = "FINISHED") -> bool:
        """Whether the run has ended so and shows the record with this fingerprint."""
        run = self._runs.get(key)
        return run is not None and self.status(key) == status and run.data.tags.get(RECORD_TAG) == record

    def run_ids(self, kind: str) -> dict[str, str]:
        """Key -> run id of every run of a kind."""
        return {key.key: run.info.run_id for key, run in self._runs.items() if key.kind == kind}

    def ensure(self, key: RunKey, head: RunHead) -> str:
        """Id of the run of a key, which is made if it does not exist, and is up to date with `head`."""
        tags = {**head.tags, SWEEP_TAG: self._sweep_id, KIND_TAG: key.kind, KEY_TAG: key.key}
        if head.parent:
            tags[PARENT_TAG] = head.parent
        run = self._runs.get(key)
        if run is None:
            run = self._client.create_run(self.experiment_id, head.start_ms, tags, head.name)
            self._runs[key] = run
            return str(run.info.run_id)
        self.set_tags(key, tags)
        if run.info.run_name != head.name:
            self._client.update_run(run.info.run_id, name=head.name)
        return str(run.info.run_id)

    def set_tags(self, key: RunKey, tags: Mapping[str, str]) -> None:
        """Set the tags that differ from what the run has."""
        run = self._runs[key]
        changed = [RunTag(name, value) for name, value in tags.items() if run.data.tags.get(name) != value]
        for start in range(0, len(changed), _BATCH):
            self._client.log_batch(run.info.run_id, tags=changed[start : start + _BATCH])
        run.data.tags.update({tag.key: tag.value for tag in changed})

    def log(self, key: RunKey, body: RunBody) -> None:
        """Write metrics, the parameters that the run lacks, and artifacts."""
        run = self._runs[key]
        metrics = [Metric(name, value, body.time_ms, body.step) for name, value in body.metrics.items()]
        self._log_metrics(run.info.run_id, metrics)
        params = [Param(name, value) for name, value in body.params.items() if name not in run.data.params]
        for start in range(0, len(params), _BATCH):
            self._client.log_batch(run.info.run_id, params=params[start : start + _BATCH])
        run.data.params.update({param.key: param.value for param in params})
        for name, text in body.texts.items():
            self._client.log_text(run.info.run_id, text, name)

    def log_points(self, key: RunKey, points: list[tuple[str, int, float, int]]) -> None:
        """Write points of curves: (name, step, value, time in ms)."""
        metrics = [Metric(name, value, time_ms, step) for name, step, value, time_ms in points]
        self._log_metrics(self._runs[key].info.run_id, metrics)

    def fill_curves(self, key: RunKey, curves: Mapping[str, Mapping[int, float]], time_ms: int) -> None:
        """Write the points of curves that the run does not have yet."""
        run_id, missing = self._runs[key].info.run_id, []
        for name, points in curves.items():
            known = {metric.step for metric in self._client.get_metric_history(run_id, name)}
            missing += [(name, step, value, time_ms) for step, value in points.items() if step not in known]
        self.log_points(key, missing)

    def log_file(self, key: RunKey, path: Path) -> None:
        """Copy a file or folder to the run's artifacts."""
        self._client.log_artifact(self._runs[key].info.run_id, str(path))

    def log_bytes(self, key: RunKey, folder: str, files: Mapping[str, bytes]) -> None:
        """Write files into a folder of the run's artifacts."""
        with tempfile.TemporaryDirectory() as place:
            for name, content in files.items():
                path = Path(place) / name
                path.write_bytes(content)
                self._client.log_artifact(self._runs[key].info.run_id, str(path), folder)

    def set_status(self, key: RunKey, status: str, end_ms: int | None = None) -> None:
        """Bring a run to RUNNING, FINISHED, FAILED or KILLED."""
        run_id = self._runs[key].info.run_id
        if status == "RUNNING":
            self._client.update_run(run_id, status=status)
        else:
            self._client.set_terminated(run_id, status=status, end_time=end_ms)
        self._runs[key] = self._client.get_run(run_id)

    def delete(self, key: RunKey) -> None:
        """Move the run of a key to MLflow's bin."""
        self._client.delete_run(self._runs.pop(key).info.run_id)

    def _log_metrics(self, run_id: str, metrics: list[Metric]) -> None:
        for start in range(0, len(metrics), _BATCH * 5):
            self._client.log_batch(run_id, metrics=metrics[start : start + _BATCH * 5])

    def _experiment(self, name: str, artifact_root: str | None) -> str:
        found = self._client.get_experiment_by_name(name)
        if found is None:
            try:
                return str(self._client.create_experiment(name, artifact_location=artifact_root))
            except MlflowException:
                found = self._client.get_experiment_by_name(name)  # another process was faster
                if found is None:
                    raise
        if found.lifecycle_stage == "deleted":
            logging.getLogger(__name__).warning("MLflow experiment %r was deleted; it is restored", name)
            self._client.restore_experiment(found.experiment_id)
        return str(found.experiment_id)

    def _find_runs(self) -> None:
        """Read every run of the sweep; of two with one key (a request that was answered too late) the first stays."""
        for run in sorted(self._search(), key=lambda run: (run.info.start_time, run.info.run_id)):
            key = RunKey(kind=run.data.tags.get(KIND_TAG, ""), key=run.data.tags.get(KEY_TAG, ""))
            if self._runs.setdefault(key, run) is not run:
                self._client.delete_run(run.info.run_id)

    def _search(self) -> Iterator[Run]:
        wanted, token = f"tags.`{SWEEP_TAG}` = '{self._sweep_id}'", None
        while True:
            page = self._client.search_runs(
                [self.experiment_id], wanted, run_view_type=ViewType.ACTIVE_ONLY, max_results=500, page_token=token
            )
            yield from page
            if not (token := page.token):
                return


def is_remote(uri: str) -> bool:
    """Whether the address is a server, so that what is logged leaves this machine."""
    return uri.startswith(("http://", "https://"))


def _database(uri: str) -> Path | None:
    return Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None


def _artifact_root(uri: str) -> str | None:
    """Artifacts lie beside a SQLite database; MLflow's default would be the current folder."""
    database = _database(uri)
    return (database.absolute().parent / "mlartifacts").as_uri() if database else None


@contextmanager
def _created_once(uri: str) -> Iterator[Any]:
    """Hold a lock beside a SQLite database: processes that create its tables at the same time kill each other."""
    database = _database(uri)
    lock: Any = nullcontext()
    if database is not None:
        database.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(database.with_name(f"{database.name}.lock"), timeout=120)
    for name in ("alembic", "mlflow.store.db.utils"):
        logging.getLogger(name).setLevel(logging.WARNING)
    with lock:
        yield
