"""The search of a whole sweep: proposes trials cell by cell, and stops those that fall behind in their cell.

It sees source validation and nothing else, and the ledger is its memory: what it is told of a trial is read from there.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dgsweep.analysis.selection import ALL_DOMAINS, mean_dice
from dgsweep.config.schema import SweepConfig
from dgsweep.execution.events import Report
from dgsweep.plan.proposal import Proposer, free_index, with_proposed
from dgsweep.plan.recipe import resolved_training
from dgsweep.plan.trial import Plan, TrialSpec
from dgsweep.records.ledger import Ledger
from dgsweep.records.state import TrialState

if TYPE_CHECKING:
    from dgsweep.execution.cell_study import CellStudy, Rungs

SOURCE_VALIDATION = "metric/source_val_dice"
"""Entry of a report: the value of the validation curve, which is what `source_val` falls back on."""
TPE_ATTEMPTS = 10
"""Proposals that repeat a trial, or that the sweep does not allow, before a point is taken by counting."""
MOST_STARTUP_TRIALS, STARTUP_SHARE = 10, 4


def startup_trials(trials: int) -> int:
    """First trials of a cell, the defaults among them, that nothing is learnt for: those of the random sampler."""
    return max(2, min(MOST_STARTUP_TRIALS, trials // STARTUP_SHARE))


class Search:
    """One study for each cell. Every call comes from the driver's main thread.

    Args:
        config: The sweep.
        plan: With everything that earlier runs proposed.
        ledger: What became of them.
        proposer: Makes trials of values.
    """

    def __init__(self, config: SweepConfig, plan: Plan, ledger: Ledger, proposer: Proposer) -> None:
        self.plan = plan
        self._ledger, self._proposer = ledger, proposer
        self._rungs = _rungs(config)
        self._studies: dict[str, CellStudy] = {}
        self._exhausted: set[str] = set()
        self._known = {spec.trial_id for spec in plan.trials}
        if self._rungs is not None or plan.searches:
            steered = sorted(self._steered(plan), key=lambda spec: spec.trial)
            for spec, (curve, state) in zip(steered, ledger.each(self._seen, steered), strict=True):
                self._remember(spec, curve, state)

    @property
    def left(self) -> int:
        """Trials that are still to be proposed."""
        return sum(count for cell, count in self.plan.to_propose.items() if cell not in self._exhausted)

    @property
    def open_firsts(self) -> list[TrialSpec]:
        """Trial 0 of each cell that is still to get trials."""
        left = self.plan.to_propose
        return [first for cell, first in self._proposer.firsts.items() if left[cell] and cell not in self._exhausted]

    @property
    def exhausted(self) -> tuple[TrialSpec, ...]:
        """Trial 0 of each cell whose space holds fewer allowed trials than the sweep asks for."""
        return tuple(self._proposer.firsts[cell] for cell in sorted(self._exhausted))

    def propose(self) -> TrialSpec | None:
        """The next trial, of the cell with the fewest; it stands in plan.json when this returns. None at the end."""
        while self.left:
            counts = {cell: count for cell, count in self.plan.to_propose.items() if cell not in self._exhausted}
            have = {cell: self._proposer.searches[cell].trials - count for cell, count in counts.items() if count}
            cell = min(have, key=lambda name: have[name])
            spec = self._next(cell)
            if spec is None:
                self._exhausted.add(cell)
                continue
            self.plan = with_proposed(self.plan, [spec])
            self._ledger.write_plan(self.plan)
            self._known.add(spec.trial_id)
            self._remember(spec, *self._seen(spec))
            return spec
        return None

    def stops(self, spec: TrialSpec, report: Report) -> str:
        """Why a trial should stop after this report; '' when it should go on.

        Trial 0, which other cells' prompts and the rule `last` rest on, always goes on; so does one that is trained.
        """
        study = self._studies.get(spec.cell_id)
        if study is None or spec.trial_id not in study or SOURCE_VALIDATION not in report:
            return ""
        step, value = int(report["step"]), float(report[SOURCE_VALIDATION])
        behind = study.falls_behind(spec.trial_id, step, value)
        if not behind or spec.trial == 0 or step >= spec.budget_steps:
            return ""
        return f"asha: source validation {value:.3f} at step {step} is behind other trials of its cell"

    def ended(self, spec: TrialSpec) -> None:
        """Tell a cell's study what the ledger says of a trial that ended."""
        study = self._studies.get(spec.cell_id)
        if study is None or spec.trial_id not in study:
            return
        state = self._ledger.state(spec)
        if state is TrialState.DONE:
            study.done(spec.trial_id, self._final_value(spec))
        elif state is TrialState.PRUNED:
            study.pruned(spec.trial_id)
        else:
            study.failed(spec.trial_id)

    def _steered(self, plan: Plan) -> list[TrialSpec]:
        searched = set(self._proposer.searches)
        return [
            spec
            for spec in plan.trials
            if spec.phase == "train" and (self._rungs is not None or spec.cell_id in searched)
        ]

    def _seen(self, spec: TrialSpec) -> tuple[dict[int, float], TrialState]:
        """What the ledger holds of a trial."""
        return self._curve(spec.trial_id), self._ledger.state(spec)

    def _remember(self, spec: TrialSpec, curve: Mapping[int, float], state: TrialState) -> None:
        """Let the cell's study know of a trial, and of what the ledger holds of it."""
        study = self._study(spec.cell_id)
        study.add(spec.trial_id, self._params(spec))
        for step, value in curve.items():
            study.falls_behind(spec.trial_id, step, value)
        if state in (TrialState.DONE, TrialState.PRUNED):
            self.ended(spec)

    def _study(self, cell_id: str) -> "CellStudy":
        from dgsweep.execution.cell_study import CellStudy  # Optuna takes a second to import

        if cell_id not in self._studies:
            search = self._proposer.searches.get(cell_id)
            self._studies[cell_id] = CellStudy(cell_id, search.distributions if search else {}, self._rungs)
        return self._studies[cell_id]

    def _params(self, spec: TrialSpec) -> dict[str, Any]:
        search = self._proposer.searches.get(spec.cell_id)
        return search.params(spec.hp, spec.training) if search else {}

    def _next(self, cell_id: str) -> TrialSpec | None:
        """A trial that the cell does not have yet; None where its space holds no other."""
        search, study = self._proposer.searches[cell_id], self._study(cell_id)
        index = free_index(spec.trial for spec in self.plan.trials if spec.cell_id == cell_id)
        if index < startup_trials(search.trials):
            spec = self._new(cell_id, index, self._proposer.draw(cell_id, index))
            if spec is not None:
                return spec
        for attempt in range(TPE_ATTEMPTS):
            spec = self._new(cell_id, index, study.propose(index, attempt))
            if spec is not None:
                return spec
        points = (self._new(cell_id, index, params) for params in search.combinations())
        return next((spec for spec in points if spec is not None), None)

    def _new(self, cell_id: str, index: int, params: Mapping[str, Any]) -> TrialSpec | None:
        spec = self._proposer.trial(cell_id, index, params)
        return spec if spec is not None and spec.trial_id not in self._known else None

    def _curve(self, trial_id: str) -> dict[int, float]:
        """Step -> source validation, as far as the trial came."""
        rows = self._ledger.curves(trial_id)
        rows = rows[(rows["role"] == "val") & (rows["metric"] == "dice") & (rows["domain"] == ALL_DOMAINS)]
        return {int(step): float(value) for step, value in zip(rows["step"], rows["value"], strict=True)}

    def _final_value(self, spec: TrialSpec) -> float | None:
        """What the rule `source_val` judges the trial by."""
        cases, curves = self._ledger.valid_cases(spec), self._ledger.curves(spec.trial_id)
        return mean_dice(cases, curves, "val").get(spec.trial_id)


def _rungs(config: SweepConfig) -> "Rungs | None":
    if config.search.scheduler != "asha" or config.search.trials == 1:
        return None
    from dgsweep.execution.cell_study import Rungs

    first = int(resolved_training(config.training, config.budget.steps)["eval_every"])
    return Rungs(first_steps=config.search.min_steps or first, reduction=config.search.reduction)
