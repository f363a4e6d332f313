"""The driver's book-keeper: every event of a trial goes to the progress view, the ledger's failures and MLflow."""

from collections.abc import Sequence

from dgsweep.execution.events import Report
from dgsweep.execution.outcome import FailedTrial
from dgsweep.execution.progress import SweepProgress
from dgsweep.execution.search import Search
from dgsweep.plan.trial import TrialSpec
from dgsweep.records.ledger import Ledger
from dgsweep.records.mlflow_view import MlflowView
from dgsweep.records.state import TrialState

METRIC_PREFIX = "metric/"


class SweepTracker:
    """Listens to an executor. What the ledger says of a trial is what counts, whatever the executor saw."""

    def __init__(
        self, specs: Sequence[TrialSpec], *, ledger: Ledger, search: Search, view: MlflowView, progress: SweepProgress
    ) -> None:
        self._specs = {spec.trial_id: spec for spec in specs}
        self._ledger = ledger
        self._search = search
        self._view = view
        self._progress = progress
        self._done: list[str] = []
        self._pruned: list[str] = []
        self._stopped: set[str] = set()
        self._failed: list[FailedTrial] = []

    @property
    def done(self) -> int:
        """Trials that finished."""
        return len(self._done)

    @property
    def pruned(self) -> int:
        """Trials that the scheduler stopped."""
        return len(self._pruned)

    def expect(self, spec: TrialSpec) -> None:
        """Take note of a trial that was proposed just now."""
        self._specs[spec.trial_id] = spec

    @property
    def failed(self) -> tuple[FailedTrial, ...]:
        """Trials that failed, in the order in which they did."""
        return tuple(self._failed)

    def started(self, trial_id: str) -> None:
        """Note that a trial was given to a worker."""
        spec = self._specs[trial_id]
        self._progress.started(trial_id, spec.full_name)
        self._view.trial_started(spec)

    def reported(self, trial_id: str, report: Report) -> bool:
        """Show how far a trial is, hand its curve to MLflow, and tell whether the trial is to be stopped."""
        self._progress.update(trial_id, report)
        values = {
            name.removeprefix(METRIC_PREFIX): float(value)
            for name, value in report.items()
            if name.startswith(METRIC_PREFIX)
        }
        if values:
            self._view.curve(self._specs[trial_id], int(report["step"]), values)
        if trial_id not in self._stopped and (cause := self._search.stops(self._specs[trial_id], report)):
            step, wall_s = int(report["step"]), float(report.get("wall_s", 0.0))
            self._ledger.prune(trial_id, cause, step=step, wall_s=wall_s)
            self._stopped.add(trial_id)
        return trial_id in self._stopped

    def finished(self, trial_id: str, cause: str) -> None:
        """Note the end of a trial: done or pruned when the ledger says so, failed otherwise."""
        spec = self._specs[trial_id]
        status = self._ledger.status(spec)
        self._search.ended(spec)
        if status.state is TrialState.DONE:
            self._done.append(trial_id)
            self._progress.finished(trial_id)
            self._view.trial_done(spec, self._ledger)
            return
        if status.state is TrialState.PRUNED:
            self._pruned.append(trial_id)
            self._progress.pruned(trial_id, status.cause)
            self._view.trial_pruned(spec, status.cause)
            return
        failure = self._ledger.failure(trial_id)
        if not failure:
            self._ledger.fail(trial_id, cause or f"it ended without a record ({status.cause or status.state})", "died")
            failure = self._ledger.failure(trial_id)
        self._failed.append(FailedTrial(trial_id, spec.full_name, str(failure["cause"])))
        self._progress.finished(trial_id, cause=str(failure["cause"]))
        self._view.trial_failed(spec, str(failure["cause"]))
