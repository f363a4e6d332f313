"""What the search of one cell has seen, kept by Optuna: which values come next, and which trial has fallen behind."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.pruners import BasePruner, NopPruner, SuccessiveHalvingPruner
from optuna.samplers import RandomSampler, TPESampler
from optuna.trial import TrialState

optuna.logging.set_verbosity(optuna.logging.ERROR)


@dataclass(frozen=True, kw_only=True)
class Rungs:
    """Where asynchronous successive halving compares the trials of a cell."""

    first_steps: int
    reduction: int


class CellStudy:
    """One study in memory, rebuilt from the ledger when a sweep goes on.

    A proposal depends on the cell, its number and what was told before, and on nothing else: no state of a random
    generator has to survive a kill.

    Args:
        cell_id: Whose.
        distributions: The space; {} where every trial is planned.
        rungs: None where no trial is stopped.
    """

    def __init__(self, cell_id: str, distributions: Mapping[str, BaseDistribution], rungs: Rungs | None) -> None:
        self._cell_id, self._distributions = cell_id, dict(distributions)
        self._study = optuna.create_study(direction="maximize", pruner=_pruner(rungs), sampler=RandomSampler(seed=0))
        self._trials: dict[str, optuna.Trial] = {}
        self._judged: dict[str, tuple[int, bool]] = {}

    def __contains__(self, trial_id: str) -> bool:
        return trial_id in self._trials

    def add(self, trial_id: str, params: Mapping[str, Any]) -> None:
        """Note a trial that is planned, was proposed, or runs; values outside the space are not among `params`."""
        self._study.sampler = RandomSampler(seed=0)  # every value is given: nothing is drawn
        self._study.enqueue_trial(dict(params))
        self._trials[trial_id] = self._study.ask({name: self._distributions[name] for name in params})

    def propose(self, number: int, attempt: int) -> dict[str, Any]:
        """Values for the next trial by TPE; the same number, attempt and history give the same values."""
        self._study.sampler = TPESampler(
            n_startup_trials=1, multivariate=True, constant_liar=True, seed=_seed(self._cell_id, number, attempt)
        )
        trial = self._study.ask(self._distributions)
        self._study.tell(trial, state=TrialState.FAIL)  # `add` follows if it becomes a trial
        return dict(trial.params)

    def falls_behind(self, trial_id: str, step: int, value: float) -> bool:
        """Take a value of source validation and tell whether the trial should stop, judged by the others so far.

        A value comes again where a trial goes on from a checkpoint: the judgement of the last one stands (the driver
        may have been killed before it could act on it), those before let the trial go on.
        """
        trial, (last, behind) = self._trials[trial_id], self._judged.get(trial_id, (-1, False))
        if step > last:
            trial.report(value, step)
            self._judged[trial_id] = step, trial.should_prune()
            return self._judged[trial_id][1]
        return behind and step == last

    def done(self, trial_id: str, value: float | None) -> None:
        """Tell the final source validation of a trial; None where there is none."""
        if value is None:
            self.failed(trial_id)
        else:
            self._study.tell(self._trials[trial_id], value, skip_if_finished=True)

    def pruned(self, trial_id: str) -> None:
        """Tell that a trial was stopped."""
        self._study.tell(self._trials[trial_id], state=TrialState.PRUNED, skip_if_finished=True)

    def failed(self, trial_id: str) -> None:
        """Tell that a trial came to nothing; it teaches nothing."""
        self._study.tell(self._trials[trial_id], state=TrialState.FAIL, skip_if_finished=True)


def _pruner(rungs: Rungs | None) -> BasePruner:
    if rungs is None:
        return NopPruner()
    return SuccessiveHalvingPruner(min_resource=rungs.first_steps, reduction_factor=rungs.reduction)


def _seed(cell_id: str, number: int, attempt: int) -> int:
    digest = hashlib.sha256(f"{cell_id}\0{number}\0{attempt}".encode()).digest()
    return int.from_bytes(digest[:4], "big")
