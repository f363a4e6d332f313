"""From proposed values to a trial of a searched cell, and back to the plan that holds it."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from dgsweep.config.declaration import MethodDeclaration
from dgsweep.config.schema import SweepConfig
from dgsweep.config.search_space import draw
from dgsweep.errors import Problems
from dgsweep.plan.draws import trial_draw
from dgsweep.plan.identity import learning_keys
from dgsweep.plan.search import CellSearch, coded_space
from dgsweep.plan.trial import Plan, TrialSpec, content_id


class Proposer:
    """Makes the trials of a plan's searched cells.

    Args:
        config: The sweep that was planned.
        plan: Its plan.
        methods: Declarations of its methods by name.
    """

    def __init__(self, config: SweepConfig, plan: Plan, methods: Mapping[str, MethodDeclaration]) -> None:
        self._config, self._methods = config, methods
        self.searches: Mapping[str, CellSearch] = {search.cell_id: search for search in plan.searches}
        self.firsts: Mapping[str, TrialSpec] = {
            spec.cell_id: spec for spec in plan.trials if spec.cell_id in self.searches and spec.trial == 0
        }

    def trial(self, cell_id: str, index: int, params: Mapping[str, Any]) -> TrialSpec | None:
        """Trial `index` of a cell with these values of its space; None where the sweep does not allow them."""
        search, first, problems = self.searches[cell_id], self.firsts[cell_id], Problems()
        values = {**first.hp, **search.values(params)}
        drawn = trial_draw(self._config, self._methods[first.method], values, index, problems)
        if problems:
            return None
        identity = {**search.identity, "hp": drawn.hp, "training": learning_keys(drawn.training)}
        hp, training = dict(drawn.hp), dict(drawn.training)
        return replace(first, trial_id=content_id(identity), trial=index, hp=hp, training=training)

    def draw(self, cell_id: str, index: int) -> dict[str, Any]:
        """What the random sampler draws for trial `index`, so that both samplers begin with the same trials."""
        method = self.firsts[cell_id].method
        return draw(coded_space(method, self.searches[cell_id]), method, index)

    def again(self, spec: TrialSpec) -> TrialSpec | None:
        """A trial of an earlier run, as this plan wants it; None where it is no trial of a searched cell any more."""
        if spec.cell_id not in self.searches or spec.trial == 0:
            return None
        search = self.searches[spec.cell_id]
        params = search.params(spec.hp, spec.training)
        trial = self.trial(spec.cell_id, spec.trial, params) if len(params) == len(search.space) else None
        return trial if trial is not None and trial.trial_id == spec.trial_id else None


def with_earlier(plan: Plan, proposer: Proposer, earlier: Iterable[TrialSpec]) -> Plan:
    """The plan with the trials that earlier runs proposed for its cells, no more than it asks for."""
    taken: dict[str, dict[int, TrialSpec]] = {cell: {0: first} for cell, first in proposer.firsts.items()}
    known = {first.trial_id for first in proposer.firsts.values()}
    for spec in sorted(earlier, key=lambda spec: (spec.trial, spec.trial_id)):
        trial = proposer.again(spec)
        if trial is None or trial.trial_id in known:
            continue
        members = taken[trial.cell_id]
        if len(members) < proposer.searches[trial.cell_id].trials:
            index = trial.trial if trial.trial not in members else free_index(members)
            members[index] = replace(trial, trial=index)
            known.add(trial.trial_id)
    found = [trial for members in taken.values() for trial in members.values() if trial.trial]
    return with_proposed(plan, found)


def free_index(members: Iterable[int]) -> int:
    """The lowest trial index that is not taken."""
    have = set(members)
    return next(index for index in range(len(have) + 1) if index not in have)


def with_proposed(plan: Plan, proposed: Iterable[TrialSpec]) -> Plan:
    """The plan with these trials of searched cells too; those that take prompts from others stay last."""
    trials = {spec.trial_id: spec for spec in plan.trials}
    new = [spec for spec in proposed if spec.trial_id not in trials]
    cells = {cell: place for place, cell in enumerate(dict.fromkeys(spec.cell_id for spec in plan.trials))}
    trained = [*(spec for spec in plan.trials if spec.phase != "zero_shot"), *new]
    if plan.searches:
        trained.sort(key=lambda spec: (spec.trial, cells[spec.cell_id]))
    return replace(plan, trials=(*trained, *(spec for spec in plan.trials if spec.phase == "zero_shot")))
