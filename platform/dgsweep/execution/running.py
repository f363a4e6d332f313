"""What belongs together while a sweep runs: its plan so far, what of it is left, and the order in which it is run."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from rich.console import Console

from dgsweep.config.schema import SweepConfig
from dgsweep.data.manifest import Manifest
from dgsweep.execution.events import Run, Work
from dgsweep.execution.job import TrialJob
from dgsweep.execution.preparation import build_jobs
from dgsweep.execution.resources import TrialResources
from dgsweep.execution.search import Search
from dgsweep.execution.settled import settled
from dgsweep.execution.tracker import SweepTracker
from dgsweep.execution.watch import SweepWatch
from dgsweep.plan.trial import Plan, TrialSpec
from dgsweep.records.ledger import Ledger
from dgsweep.records.state import TrialState


@dataclass(frozen=True, kw_only=True)
class RunningSweep:
    """A sweep whose driver holds the output."""

    config: SweepConfig
    manifest: Manifest
    ledger: Ledger
    search: Search
    watch: SweepWatch
    console: Console
    run: Run
    verbose: bool
    only: Collection[str] | None
    """Ids of the trials to run; None for all. With ids nothing is proposed."""
    resume_command: str
    started_s: float
    """On the clock of `time.monotonic`."""

    @property
    def plan(self) -> Plan:
        """With the trials that were proposed so far."""
        return self.search.plan

    @property
    def asked(self) -> list[TrialSpec]:
        """Trials of the plan that this run is to see done."""
        return [spec for spec in self.plan.trials if self.only is None or spec.trial_id in self.only]

    @property
    def to_propose(self) -> int:
        """Trials that this run is still to propose."""
        return self.search.left if self.only is None else 0

    def pending(self) -> list[TrialSpec]:
        """Trials that are not done, in plan order; a stale one is only scored again, which its worker decides.

        A pruned one is not run again while there is a scheduler; without one it goes on from its checkpoint. What none
        of them starts from need not be pretrained.
        """
        over, asked = settled(self.plan), self.asked
        states = self.ledger.states_of(asked)
        trials = [spec for spec in asked if states[spec.trial_id] not in over]
        waiting = self.search.open_firsts if self.to_propose else []
        needed = {start for spec in (*trials, *waiting) for start in spec.depends_on}
        return [*(spec for spec in self.plan.pretraining if self._is_wanted(spec, needed)), *trials]

    def waves(self, jobs: Sequence[TrialJob], resources: TrialResources, tracker: SweepTracker) -> list[Work]:
        """Pretraining first, then what starts from it and what is proposed, then what is prompted by predictions."""
        waves: list[list[TrialJob]] = [[], [], []]
        for job in jobs:
            phase, waits = job.spec["phase"], bool(job.spec["depends_on"])
            waves[0 if phase == "pretrain" else 2 if phase == "zero_shot" and waits else 1].append(job)
        first, trained, last = waves
        searched = Work(jobs=trained)
        if self.to_propose:
            templates = build_jobs(self.search.open_firsts, self.manifest, self.config, resources)
            searched = Work(
                jobs=trained,
                more=lambda: self._proposed(resources, tracker),
                templates={job.spec["cell_id"]: job for job in templates},
            )
        return [work for work in (Work(jobs=first), searched, Work(jobs=last)) if work]

    def _proposed(self, resources: TrialResources, tracker: SweepTracker) -> TrialJob | None:
        """One more trial; None when there is no more, or when none may start."""
        spec = None if self.watch.ending else self.search.propose()
        if spec is None:
            return None
        tracker.expect(spec)
        (job,) = build_jobs([spec], self.manifest, self.config, resources)
        return job

    def _is_wanted(self, spec: TrialSpec, needed: set[str]) -> bool:
        return spec.trial_id in needed and self.ledger.state(spec) is not TrialState.DONE
