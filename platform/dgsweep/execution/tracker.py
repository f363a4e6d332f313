"""The driver's book-keeper: every event of a trial goes to the progress view, the ledger's failures and MLflow."""

from collections.abc import Sequence
from contextlib import suppress

from dgsweep.execution.events import Report
from dgsweep.execution.guard import hang_cause
from dgsweep.execution.outcome import FailedTrial
from dgsweep.execution.progress import SweepProgress
from dgsweep.execution.search import Search
from dgsweep.execution.watch import SweepWatch
from dgsweep.plan.trial import TrialSpec
from dgsweep.records.ledger import Ledger
from dgsweep.records.mlflow_view import MlflowView
from dgsweep.records.state import TrialState
from dgsweep.storage.files import UNANSWERED

METRIC_PREFIX = "metric/"


class SweepTracker:
    """Listens to an executor. What the ledger says of a trial is what counts, whatever the executor saw."""

    def __init__(
        self,
        specs: Sequence[TrialSpec],
        *,
        ledger: Ledger,
        search: Search,
        view: MlflowView,
        progress: SweepProgress,
        watch: SweepWatch,
    ) -> None:
        self._specs = {spec.trial_id: spec for spec in specs}
        self._ledger = ledger
        self._search = search
        self._view = view
        self._progress = progress
        self._watch = watch
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

    @property
    def left(self) -> int:
        """Trials that it knows of and that neither ended nor failed."""
        return len(self._specs) - len(self._done) - len(self._pruned) - len(self._failed)

    def expect(self, spec: TrialSpec) -> None:
        """Take note of a trial that was proposed just now."""
        self._specs[spec.trial_id] = spec
        self._watch.expect(spec)

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
        """Note the end of a trial: done or pruned when the ledger says so, stopped when asked to, failed otherwise."""
        spec = self._specs[trial_id]
        status = self._ledger.status(spec)
        self._watch.finished(trial_id, done=status.state is TrialState.DONE)
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
        told = str(self._ledger.failure(trial_id).get("cause", ""))
        if not told and self._watch.stopping:
            self._progress.stopped(trial_id)
            return
        told = told or self._note_death(spec, cause or f"it ended without a record ({status.cause or status.state})")
        self._failed.append(FailedTrial(trial_id, spec.full_name, told))
        self._progress.finished(trial_id, cause=told)
        self._view.trial_failed(spec, told)

    def _note_death(self, spec: TrialSpec, seen: str) -> str:
        """Write down, and give, why a trial ended that could not say so itself: it hung, or what was `seen` of it."""
        hung, where = hang_cause(self._ledger.paths(spec.trial_id))
        told = hung or seen
        with suppress(*UNANSWERED):  # a full disk must not end the sweep: the cause is told at its end, too
            self._ledger.fail(spec.trial_id, told, "hung" if hung else "died", where)
        return told
