"""The driver's book-keeper: every event of a trial goes to the progress view, the ledger's failures and MLflow."""

from collections.abc import Mapping, Sequence
from contextlib import suppress

from dgsweep.execution.events import Report
from dgsweep.execution.guard import hang_cause
from dgsweep.execution.outcome import FailedTrial
from dgsweep.execution.progress import SweepProgress
from dgsweep.execution.watch import SweepWatch
from dgsweep.plan.trial import TrialSpec
from dgsweep.records.ledger import Ledger
from dgsweep.records.mlflow_view import MlflowView
from dgsweep.records.state import TrialState

METRIC_PREFIX = "metric/"


class SweepTracker:
    """Listens to an executor. What the ledger says of a trial is what counts, whatever the executor saw."""

    def __init__(
        self,
        specs: Sequence[TrialSpec],
        *,
        ledger: Ledger,
        view: MlflowView,
        progress: SweepProgress,
        watch: SweepWatch,
    ) -> None:
        self._specs: Mapping[str, TrialSpec] = {spec.trial_id: spec for spec in specs}
        self._ledger = ledger
        self._view = view
        self._progress = progress
        self._watch = watch
        self._done: list[str] = []
        self._failed: list[FailedTrial] = []

    @property
    def done(self) -> int:
        """Trials that finished."""
        return len(self._done)

    @property
    def failed(self) -> tuple[FailedTrial, ...]:
        """Trials that failed, in the order in which they did."""
        return tuple(self._failed)

    def started(self, trial_id: str) -> None:
        """Note that a trial was given to a worker."""
        spec = self._specs[trial_id]
        self._watch.started(trial_id)
        self._progress.started(trial_id, spec.full_name)
        self._view.trial_started(spec)

    def reported(self, trial_id: str, report: Report) -> None:
        """Show how far a trial is, and hand its curve to MLflow."""
        self._progress.update(trial_id, report)
        values = {
            name.removeprefix(METRIC_PREFIX): float(value)
            for name, value in report.items()
            if name.startswith(METRIC_PREFIX)
        }
        if values:
            self._view.curve(self._specs[trial_id], int(report["step"]), values)

    def finished(self, trial_id: str, cause: str) -> None:
        """Note the end of a trial: done when the ledger says so, stopped when it was asked to, failed otherwise."""
        spec = self._specs[trial_id]
        status = self._ledger.status(spec)
        self._watch.finished(trial_id, done=status.state is TrialState.DONE)
        if status.state is TrialState.DONE:
            self._done.append(trial_id)
            self._progress.finished(trial_id)
            self._view.trial_done(spec, self._ledger)
            return
        told, stopping = str(self._ledger.failure(trial_id).get("cause", "")), self._watch.stopping
        if not told and stopping:
            self._progress.stopped(trial_id)
            return
        if not told:
            hung, where = hang_cause(self._ledger.paths(trial_id))
            told = hung or cause or f"it ended without a record ({status.cause or status.state})"
            with suppress(OSError):  # a full disk must not end the sweep: the cause is told at its end, too
                self._ledger.fail(trial_id, told, "hung" if hung else "died", where)
        self._failed.append(FailedTrial(trial_id, spec.full_name, told))
        self._progress.finished(trial_id, cause=told)
        self._view.trial_failed(spec, told)
