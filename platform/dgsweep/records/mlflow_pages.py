"""What each kind of MLflow run shows: the sweep, a trial, the trial that a rule selects for a cell."""

import json
import time
from collections.abc import Callable, Mapping
from datetime import datetime

import pandas as pd
import yaml

from dgsweep.config.secrets import without_password
from dgsweep.plan.trial import Plan, TrialSpec, content_id
from dgsweep.records.atomic import file_sha256, read_json
from dgsweep.records.columns import read_rows
from dgsweep.records.frames import no_cases
from dgsweep.records.ledger import Ledger
from dgsweep.records.mlflow_content import MAX_TEXT, curve_points, trial_metrics, trial_params, trial_tags
from dgsweep.records.mlflow_store import RECORD_TAG, MlflowStore, RunBody, RunHead, RunKey
from dgsweep.records.state import PRUNED, TrialState
from dgsweep.storage.files import exists, read_bytes
from dgsweep.storage.place import AnyPath

SWEEP = RunKey(kind="sweep", key="")
PICTURES_TAG = "dgsweep.pictures"
"""Fingerprint of the record whose pictures a summary run has."""
_CAUSE_TAG = "dgsweep.cause"
_STATE_TAG = "dgsweep.state"


def trial_key(trial_id: str) -> RunKey:
    """Key of a trial's run."""
    return RunKey(kind="trial", key=trial_id)


def ensure_sweep(store: MlflowStore, sweep: str, ledger: Ledger) -> str:
    """Id of the sweep's run."""
    tags = {"dgsweep.sweep": sweep, "dgsweep.output": ledger.output.absolute().name}
    return store.ensure(SWEEP, RunHead(name=sweep, tags=tags))


def show_sweep(store: MlflowStore, plan: Plan, ledger: Ledger) -> None:
    """The sweep runs: plan and configuration as artifacts."""
    ensure_sweep(store, plan.sweep, ledger)
    config = yaml.safe_dump(json.loads(json.dumps(dict(plan.config))), sort_keys=False)
    texts = {"plan.json": _text(ledger.files.plan), "config.yaml": config}
    store.log(SWEEP, RunBody(texts={name: without_password(text) for name, text in texts.items() if text}))
    store.set_tags(SWEEP, {"dgsweep.plan_id": plan.plan_id, "dgsweep.trials": str(len(plan.trials))})
    store.set_status(SWEEP, "RUNNING")


def show_start(store: MlflowStore, spec: TrialSpec, ledger: Ledger) -> None:
    """A trial runs."""
    _ensure_trial(store, spec, ledger)
    store.set_status(trial_key(spec.trial_id), "RUNNING")


def show_trial(store: MlflowStore, spec: TrialSpec, ledger: Ledger) -> None:
    """A trial as the ledger knows it; a trial that never began has no run."""
    status, key = ledger.status(spec), trial_key(spec.trial_id)
    if status.state is TrialState.DONE:
        show_record(store, spec, ledger)
    elif status.state is TrialState.FAILED:
        show_failure(store, spec, ledger, status.cause)
    elif status.state is TrialState.PRUNED:
        show_pruned(store, spec, ledger, status.cause)
    elif store.status(key) == "RUNNING" and status.state is not TrialState.RUNNING:
        store.set_status(key, "KILLED")


def show_record(store: MlflowStore, spec: TrialSpec, ledger: Ledger) -> None:
    """A finished trial: scores, curves, costs, per-case table. Nothing is sent where the run shows it already."""
    key, paths = trial_key(spec.trial_id), ledger.paths(spec.trial_id)
    record = _record(spec, ledger)
    _ensure_trial(store, spec, ledger)
    if store.shows(key, record):
        return
    end_ms = _ms(str((read_json(paths.done) or {}).get("finished", "")))
    store.log(key, _body(spec, ledger, end_ms))
    store.fill_curves(key, curve_points(read_rows(paths.curves)), end_ms)
    store.set_tags(key, {RECORD_TAG: record, _CAUSE_TAG: "", _STATE_TAG: "done"})
    store.set_status(key, "FINISHED", end_ms)


def show_failure(store: MlflowStore, spec: TrialSpec, ledger: Ledger, cause: str, *, status: str = "FAILED") -> None:
    """A trial that failed, with the cause."""
    key, tags = trial_key(spec.trial_id), {_CAUSE_TAG: cause[:MAX_TEXT]}
    _ensure_trial(store, spec, ledger)
    store.set_tags(key, tags)
    if store.status(key) != status:
        store.set_status(key, status)


def show_pruned(store: MlflowStore, spec: TrialSpec, ledger: Ledger, cause: str) -> None:
    """A trial that a scheduler stopped: its curves so far, what it cost, and why."""
    show_failure(store, spec, ledger, cause, status="KILLED")
    key, paths = trial_key(spec.trial_id), ledger.paths(spec.trial_id)
    cost = ledger.provenance(spec.trial_id)
    record = content_id([spec.trial_id, cause, cost.get("steps"), cost.get("train_wall_s")])
    if store.shows(key, record, "KILLED"):
        return
    metrics = {name: value for name, value in trial_metrics(no_cases(), cost).items() if name.startswith("cost/")}
    store.log(key, RunBody(metrics=metrics, step=int(cost.get("steps", 0)), time_ms=now_ms()))
    if exists(paths.curves):
        store.fill_curves(key, curve_points(read_rows(paths.curves)), now_ms())
    store.set_tags(key, {RECORD_TAG: record, _STATE_TAG: PRUNED})


def show_summary(store: MlflowStore, spec: TrialSpec, ledger: Ledger, rule: str) -> None:
    """The trial that a rule selects for a cell; a run of its own, replaced when the rule selects another."""
    key, record = RunKey(kind="summary", key=f"{rule} {spec.cell_id}"), _record(spec, ledger)
    if store.shows(key, record):
        return
    if store.find(key) is not None:
        store.delete(key)  # the metrics of another trial could not be taken back
    tags = {**trial_tags(spec), "dgsweep.rule": rule}
    if rule.startswith("oracle_"):
        tags["dgsweep.panel"] = "oracle"
    name = f"{spec.name.rpartition(' trial ')[0]} | {rule}"
    parent, end_ms = ensure_sweep(store, spec.sweep, ledger), now_ms()
    store.ensure(key, RunHead(name=name, tags=tags, parent=parent, start_ms=end_ms))
    store.log(key, _body(spec, ledger, end_ms))
    curves = curve_points(read_rows(ledger.paths(spec.trial_id).curves))
    store.log_points(key, [(name, *point, end_ms) for name, points in curves.items() for point in points.items()])
    store.set_tags(key, {RECORD_TAG: record})
    store.set_status(key, "FINISHED", end_ms)


def show_pictures(store: MlflowStore, spec: TrialSpec, rule: str, draw: Callable[[], Mapping[str, bytes]]) -> None:
    """Overlays of a selected trial; nothing when its summary run has those of this record, or does not exist."""
    key = RunKey(kind="summary", key=f"{rule} {spec.cell_id}")
    run = store.find(key)
    if run is None or run.data.tags.get(PICTURES_TAG) == run.data.tags.get(RECORD_TAG):
        return
    store.log_bytes(key, "overlays", draw())
    store.set_tags(key, {PICTURES_TAG: run.data.tags.get(RECORD_TAG, "")})


def now_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def _ensure_trial(store: MlflowStore, spec: TrialSpec, ledger: Ledger) -> None:
    key, parent = trial_key(spec.trial_id), ensure_sweep(store, spec.sweep, ledger)
    start_ms = _ms(ledger.created(spec.trial_id))
    store.ensure(key, RunHead(name=spec.name, tags=trial_tags(spec), parent=parent, start_ms=start_ms))
    store.log(key, RunBody(params=trial_params(spec)))


def _record(spec: TrialSpec, ledger: Ledger) -> str:
    """Fingerprint of what a run shows of a trial: its DONE, and which of its scores the plan wants."""
    done = file_sha256(ledger.paths(spec.trial_id).done)
    return content_id([spec.trial_id, done, sorted(spec.score_shas.items())])


def _body(spec: TrialSpec, ledger: Ledger, time_ms: int) -> RunBody:
    cases, paths = ledger.valid_cases(spec), ledger.paths(spec.trial_id)
    return RunBody(
        metrics=trial_metrics(cases, ledger.provenance(spec.trial_id)),
        step=_last_step(cases),
        time_ms=time_ms,
        params=trial_params(spec),
        texts={"cases.csv": cases.to_csv(index=False)} | {p.name: _text(p) for p in (paths.spec, paths.provenance)},
    )


def _last_step(cases: pd.DataFrame) -> int:
    return int(cases["step"].max()) if len(cases) else 0


def _text(path: AnyPath) -> str:
    try:
        return read_bytes(path).decode()
    except FileNotFoundError:
        return ""


def _ms(stamp: str) -> int:
    """Milliseconds since 1970 of an ISO 8601 time; now when there is none."""
    return int(datetime.fromisoformat(stamp).timestamp() * 1000) if stamp else now_ms()
