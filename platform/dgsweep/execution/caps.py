"""How much of a sweep's budget is spent, and whether one more trial would pass a cap."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from dgsweep.config.limits import BudgetConfig
from dgsweep.plan.trial import TrialSpec
from dgsweep.records.steering import TrialCost

HOUR_S = 3600.0


@dataclass(frozen=True, kw_only=True)
class Holding:
    """What one trial holds while it runs, all workers together."""

    cores: float
    gpus: float


@dataclass(frozen=True, kw_only=True)
class Cap:
    """One key of `budget` that ends a sweep."""

    key: str
    hours: float
    unit: str
    share: float
    """Units that a running trial spends in an hour; of wall time 0, since trials run beside each other."""


def caps_of(budget: BudgetConfig, holding: Holding) -> list[Cap]:
    """The caps that a sweep file sets on what trials spend; that on wall time is kept by the clock of the driver."""
    asked = [
        ("max_gpu_hours", budget.max_gpu_hours, "GPU-hours", holding.gpus),
        ("max_core_hours", budget.max_core_hours, "core-hours", holding.cores),
    ]
    return [Cap(key=f"budget.{key}", hours=hours, unit=unit, share=share) for key, hours, unit, share in asked if hours]


class Spending:
    """What trials have cost and are going to cost, from what those that are done took.

    Args:
        specs: Every trial of the plan.
        done: Ids of those that are done; what they took tells what others will take.
        spent: Cost so far of every trial, by its id.
    """

    def __init__(self, specs: Sequence[TrialSpec], done: Collection[str], spent: Mapping[str, TrialCost]) -> None:
        self._specs = {spec.trial_id: spec for spec in specs}
        self._done = set(done)
        self.spent = dict(spent)

    def expect(self, spec: TrialSpec) -> None:
        """Learn of a trial that was proposed just now."""
        self._specs[spec.trial_id] = spec

    def finished(self, trial_id: str) -> None:
        """Learn from a trial that is done now."""
        self._done.add(trial_id)

    def hours(self, cap: Cap) -> float:
        """Spent so far, in the unit of a cap."""
        return sum(_of(cost, cap) for cost in self.spent.values())

    def wall_s_left(self, trial_id: str) -> float:
        """Seconds that a trial still needs, as those of its method and network took; 0 where none is done."""
        spec = self._specs[trial_id]
        alike = [key for key in self._done & self._specs.keys() if _kind(self._specs[key]) == _kind(spec)]
        known = [cost.wall_s for key in alike or self._done if (cost := self.spent.get(key)) and cost.wall_s]
        mean_s = sum(known) / len(known) if known else 0.0
        return max(0.0, mean_s - self.spent.get(trial_id, TrialCost()).wall_s)

    def passes(self, cap: Cap, trial_id: str, running: Collection[str]) -> bool:
        """Whether what is spent, what running trials still need and this trial come to more than a cap."""
        coming_s = sum(self.wall_s_left(key) for key in {*running, trial_id})
        return self.hours(cap) + coming_s * cap.share / HOUR_S > cap.hours


def _kind(spec: TrialSpec) -> tuple[str, str, str]:
    return spec.phase, spec.method, spec.network


def _of(cost: TrialCost, cap: Cap) -> float:
    return (cost.gpu_s if cap.unit == "GPU-hours" else cost.core_s) / HOUR_S
