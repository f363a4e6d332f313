"""Cells whose trials are proposed while the sweep runs: how many, out of which space."""

import json
import math
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
    json_to_distribution,
)

from dgsweep.config.search_space import TRAINING_PREFIX, SearchSpace


@dataclass(frozen=True, kw_only=True)
class CellSearch:
    """The search of one cell, whose trial 0 is planned."""

    cell_id: str
    trials: int
    """In all: trial 0 and those that are proposed."""
    space: Mapping[str, str]
    """Hyperparameter or `training.<field>` -> its distribution, in Optuna's JSON. Choices are JSON texts."""
    identity: Mapping[str, Any]
    """What the ids of its trials have in common: all but `hp` and `training`."""

    @cached_property
    def distributions(self) -> dict[str, BaseDistribution]:
        """The space as Optuna reads it."""
        return {name: json_to_distribution(text) for name, text in self.space.items()}

    def values(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Values for a trial from those of the space."""
        return {
            name: json.loads(value) if isinstance(self.distributions[name], CategoricalDistribution) else value
            for name, value in params.items()
        }

    def params(self, hp: Mapping[str, Any], training: Mapping[str, Any]) -> dict[str, Any]:
        """Inverse of `values` for a trial's values; one that lies outside the space is left out."""
        found = {}
        for name, distribution in self.distributions.items():
            own = name.startswith(TRAINING_PREFIX)
            value = training.get(name.removeprefix(TRAINING_PREFIX)) if own else hp.get(name)
            param = _param(distribution, value)
            if param is not None:
                found[name] = param
        return found

    def combinations(self) -> Iterator[dict[str, Any]]:
        """Every point of a space that is finite; none of one that is not."""
        if not math.isfinite(_size(self.distributions)):
            return
        axes = [_points(distribution) for distribution in self.distributions.values()]
        for row in product(*axes):
            yield dict(zip(self.distributions, row, strict=True))


def space_document(space: SearchSpace) -> dict[str, str]:
    """The field `space` of a CellSearch."""
    return {name: distribution_to_json(_coded(item)) for name, item in space.distributions.items()}


def trials_of(space: Mapping[str, str], asked: int, hp: Mapping[str, Any], training: Mapping[str, Any]) -> int:
    """How many different trials a cell can have, at most `asked`; `hp` and `training` are those of trial 0."""
    search = CellSearch(cell_id="", trials=asked, space=space, identity={})
    inside = len(search.params(hp, training)) == len(space)
    return int(min(asked, _size(search.distributions) + (0 if inside else 1)))


def coded_space(method: str, search: CellSearch) -> SearchSpace:
    """The space for the draws of the random sampler; what it draws are values of the space, not yet of a trial."""
    return SearchSpace(method=method, distributions=search.distributions)


def _coded(distribution: BaseDistribution) -> BaseDistribution:
    if isinstance(distribution, CategoricalDistribution):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            return CategoricalDistribution([json.dumps(choice) for choice in distribution.choices])
    return distribution


def _param(distribution: BaseDistribution, value: Any) -> Any:
    """The value as a value of the space; None where it lies outside."""
    if isinstance(distribution, CategoricalDistribution):
        return next((choice for choice in distribution.choices if _same(json.loads(str(choice)), value)), None)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(distribution, IntDistribution):
        on_grid = value == int(value) and (int(value) - distribution.low) % distribution.step == 0
        return int(value) if on_grid and distribution.low <= value <= distribution.high else None
    if isinstance(distribution, FloatDistribution):
        return float(value) if distribution.low <= value <= distribution.high else None
    return None


def _same(choice: Any, value: Any) -> bool:
    return bool(choice == value) and isinstance(choice, bool) == isinstance(value, bool)


def _size(distributions: Mapping[str, BaseDistribution]) -> float:
    return math.prod((float(_count(item)) for item in distributions.values()), start=1.0)


def _count(distribution: BaseDistribution) -> float:
    if isinstance(distribution, FloatDistribution):
        return 1.0 if distribution.single() else math.inf
    return float(len(_points(distribution)))


def _points(distribution: BaseDistribution) -> tuple[Any, ...] | range:
    if isinstance(distribution, CategoricalDistribution):
        return tuple(distribution.choices)
    if isinstance(distribution, IntDistribution):
        return range(distribution.low, distribution.high + 1, distribution.step)
    if isinstance(distribution, FloatDistribution):
        return (distribution.low,)
    raise TypeError(f"no search over {type(distribution).__name__}")
