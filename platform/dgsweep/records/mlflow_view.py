"""MLflow as a view of the ledger. Only the driver writes it, it may fail at any time, and it can be rebuilt."""

import logging
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from dgsweep.config.secrets import without_password
from dgsweep.plan.trial import Plan, TrialSpec
from dgsweep.records import mlflow_pages as pages
from dgsweep.records.atomic import RecordError, read_json, write_json
from dgsweep.records.ledger import Ledger
from dgsweep.records.mlflow_names import live_name
from dgsweep.records.mlflow_store import OUTAGES, MlflowStore, is_remote, run_status
from dgsweep.storage.place import AnyPath

RETRY_AFTER_S, RETRY_AFTER_AT_MOST_S = 60.0, 900.0
"""How long a store that did not answer is left alone; twice as long after each further time."""
FLUSH_POINTS = 100
FLUSH_AFTER_S = 5.0
PICTURES = {".html", ".png", ".jpg", ".svg", ".gz", ".nii"}

Selected = Mapping[str, Mapping[str, str]]
"""rule -> cell id -> trial id."""

CAUSE_CHARACTERS = 200
_LOG = logging.getLogger(__name__)


class MlflowView:
    """Parent run = sweep, child runs = trials, one summary run per cell and rule.

    No method raises when the tracking store fails: it warns once, and `sync` repairs what was missed.
    """

    def __init__(self, uri: str, experiment: str, output: AnyPath) -> None:
        self._uri = uri
        self._experiment = experiment
        self._ledger = Ledger(output)
        self._store: MlflowStore | None = None
        self._sweep = experiment
        self._retry_at_s = 0.0
        self._retry_after_s = RETRY_AFTER_S
        self._warned = False
        self._refused = False
        self._points: dict[str, list[tuple[str, int, float, int]]] = {}
        self._flushed_at_s = time.monotonic()
        self._remembered: dict[str, Any] = {}

    def is_complete(self, state: str) -> bool:
        """Whether an earlier driver left MLflow in this state of the ledger (`complete`), and its run is still there.

        Reads one run and not thousands, so that a sweep with nothing to do ends at once.
        """
        noted = read_json(self._ledger.files.mlflow) or {}
        wanted = {"complete": state, "uri": self._address, "experiment": self._experiment}
        try:
            return noted == {**noted, **wanted} and run_status(self._uri, noted["parent"]) == "FINISHED"
        except OUTAGES:
            return False

    def complete(self, state: str) -> None:
        """Note after `sync` and `finish` which state of the ledger MLflow shows, unless it refused a part."""
        if not self._refused:
            write_json(self._ledger.files.mlflow, {**self._remembered, "complete": state})

    def start(self, plan: Plan) -> None:
        """Open the sweep's run, making database and experiment if needed, or going on with an earlier one."""
        self._sweep = plan.sweep
        noted = read_json(self._ledger.files.mlflow) or {}
        if noted.pop("complete", None):  # whatever MLflow answers from here on
            write_json(self._ledger.files.mlflow, noted)
        self._attempt(lambda store: pages.show_sweep(store, plan, self._ledger))

    def trial_started(self, spec: TrialSpec) -> None:
        """Show a trial as running."""
        self._attempt(lambda store: pages.show_start(store, spec, self._ledger))

    def curve(self, spec: TrialSpec, step: int, values: Mapping[str, float]) -> None:
        """Take points of a running trial's curves; they are sent in batches."""
        points = self._points.setdefault(spec.trial_id, [])
        points += [(live_name(name), step, value, pages.now_ms()) for name, value in values.items() if _finite(value)]
        if len(points) >= FLUSH_POINTS or time.monotonic() - self._flushed_at_s > FLUSH_AFTER_S:
            self._attempt(self._flush)

    def trial_done(self, spec: TrialSpec, ledger: Ledger) -> None:
        """Show what the ledger holds of a finished trial."""
        self._attempt(self._flush)
        self._attempt(lambda store: pages.show_record(store, spec, ledger))

    def trial_failed(self, spec: TrialSpec, cause: str) -> None:
        """Show a trial as failed, with the cause."""
        self._attempt(self._flush)
        self._attempt(lambda store: pages.show_failure(store, spec, self._ledger, cause))

    def trial_pruned(self, spec: TrialSpec, cause: str) -> None:
        """Show a trial that a scheduler stopped: KILLED, with its curve and the reason."""
        self._attempt(self._flush)
        self._attempt(lambda store: pages.show_pruned(store, spec, self._ledger, cause))

    def summaries(self, plan: Plan, ledger: Ledger, selected: Selected) -> bool:
        """Bring the summary run of every cell and rule to the trial that the rule selects; False in an outage."""
        specs = {spec.trial_id: spec for spec in plan.trials}
        wanted = [(rule, specs[trial_id]) for rule, cells in selected.items() for trial_id in cells.values()]
        for rule, spec in wanted:
            if not self._attempt(partial(pages.show_summary, spec=spec, ledger=ledger, rule=rule)):
                return False
        return True

    def artifacts(self, paths: Sequence[Path]) -> None:
        """Copy files to the sweep's run; says so before pictures go to a server."""
        if is_remote(self._uri) and (pictures := [path.name for path in paths if path.suffix in PICTURES]):
            _LOG.warning("pictures of patients may leave this machine: %s to %s", ", ".join(pictures), self._address)

        def copied(store: MlflowStore) -> None:
            pages.ensure_sweep(store, self._sweep, self._ledger)
            for path in paths:
                store.log_file(pages.SWEEP, path)

        self._attempt(copied)

    def pictures(self, spec: TrialSpec, rule: str, draw: Callable[[], Mapping[str, bytes]]) -> None:
        """Add pictures (file name -> PNG) to the summary run of a selected trial, drawn only when it lacks them."""
        self._attempt(lambda store: pages.show_pictures(store, spec, rule, draw))

    def finish(self, status: str) -> bool:
        """End the sweep's run (FINISHED, FAILED or KILLED) and every trial's run that still shows as running.

        False when MLflow could not be reached.
        """

        def finished(store: MlflowStore) -> None:
            self._flush(store)
            pages.ensure_sweep(store, self._sweep, self._ledger)
            for key in map(pages.trial_key, store.run_ids("trial")):
                if store.status(key) == "RUNNING":
                    store.set_status(key, "KILLED")
            store.set_status(pages.SWEEP, status)

        return self._attempt(finished)

    def sync(self, plan: Plan, ledger: Ledger, selected: Selected) -> bool:
        """Bring MLflow to the state of the ledger: whatever is missing or out of date is written, nothing twice.

        False when MLflow could not be reached to the end.
        """
        self._retry_at_s = 0.0
        self._sweep = plan.sweep
        if not self._attempt(lambda store: pages.ensure_sweep(store, plan.sweep, ledger)):
            return False
        for spec in plan.all_trials:
            if not self._attempt(partial(pages.show_trial, spec=spec, ledger=ledger)):
                return False
        return self.summaries(plan, ledger, selected)

    @property
    def _address(self) -> str:
        return without_password(self._uri)

    def _attempt(self, action: Callable[[MlflowStore], Any]) -> bool:
        """Do something with the store; False when the store cannot be reached, which is said once."""
        if time.monotonic() < self._retry_at_s:
            return False
        try:
            if self._store is None:
                self._store = MlflowStore(self._uri, self._experiment, self._ledger.sweep_id())
            action(self._store)
            self._remember(self._store)
        except (*OUTAGES, RecordError) as error:
            return self._failed(error)
        self._warned, self._retry_after_s = False, RETRY_AFTER_S
        return True

    def _failed(self, error: Exception) -> bool:
        """Tell an outage from one refused request; either way the runs are read anew before the next is made."""
        store, self._store = self._store, None
        if store is not None and _answers(store):
            _LOG.warning("MLflow at %s refused a request: %s", self._address, _first_line(error))
            self._refused = True
            return True
        self._retry_at_s = time.monotonic() + self._retry_after_s
        self._retry_after_s = min(2 * self._retry_after_s, RETRY_AFTER_AT_MOST_S)
        if not self._warned:
            _LOG.warning(
                "MLflow at %s cannot be reached (%s); the sweep goes on, its record is in %s, and "
                "`dgsweep status %s --sync-mlflow` brings MLflow up to date later",
                *(self._address, _cause(error), self._ledger.output, shlex.quote(str(self._ledger.output))),
            )
        self._warned = True
        return False

    def _flush(self, store: MlflowStore) -> None:
        """Send the waiting points; those of runs that an outage kept from being made come from the ledger later."""
        waiting, self._points = self._points, {}
        self._flushed_at_s = time.monotonic()
        for trial_id, points in waiting.items():
            if store.find(pages.trial_key(trial_id)) is not None:
                store.log_points(pages.trial_key(trial_id), points)

    def _remember(self, store: MlflowStore) -> None:
        """Keep the run ids in the ledger's folder."""
        ids = {
            "uri": self._address,
            "experiment": self._experiment,
            "experiment_id": store.experiment_id,
            "parent": store.run_ids("sweep").get("", ""),
            "trials": store.run_ids("trial"),
            "summaries": store.run_ids("summary"),
        }
        if ids != self._remembered:
            write_json(self._ledger.files.mlflow, ids, durable=False)
            self._remembered = ids


def _answers(store: MlflowStore) -> bool:
    try:
        store.ping()
    except OUTAGES:
        return False
    return True


def _finite(value: float) -> bool:
    return abs(value) < float("inf")


def _cause(error: Exception) -> str:
    """The innermost cause in words: libraries wrap `Connection refused` in lines of their own."""
    inner: BaseException = error
    while (deeper := inner.__cause__ or inner.__context__) is not None:
        inner = deeper
    return without_password(str(inner)).strip().split("\n", maxsplit=1)[0][:CAUSE_CHARACTERS] or type(inner).__name__


def _first_line(error: Exception) -> str:
    lines = without_password(str(error)).strip().splitlines()
    return (lines or [type(error).__name__])[0][:300]
