"""Search spaces, and draws that depend on method, hyperparameter and trial index only."""

import hashlib
import importlib.util
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from dgsweep.config.names import name_advice
from dgsweep.config.read_text import read_text
from dgsweep.config.schema import TrainingConfig
from dgsweep.config.space_form import read_form
from dgsweep.config.yaml_text import parse_yaml
from dgsweep.errors import ConfigError, Problems

TRAINING_PREFIX = "training."
_MANTISSA = 2**53


@dataclass(frozen=True, kw_only=True)
class SearchSpace:
    """What may be varied for one method; keys are fields of the method or `training.<field>`."""

    method: str
    distributions: Mapping[str, BaseDistribution] = field(default_factory=dict)
    grid_values: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    """Values of the grid sampler, in the file's order; a range without them gives low, middle and high."""


def default_folders(preferred: str | None = None, base: Path | None = None) -> tuple[Path, ...]:
    """Folders to look for space files in: `preferred` (relative to `base`), then the shipped ones."""
    first = [] if preferred is None else [(base or Path.cwd()) / Path(preferred).expanduser()]
    spec = importlib.util.find_spec("dgsweep_methods")
    packages = [Path(place) for place in (spec.submodule_search_locations or ())] if spec else []
    shipped = [package / "search_spaces" for package in packages]
    repository = Path(__file__).resolve().parents[3]
    checkout = [repository / "search_spaces"] if (repository / "pyproject.toml").is_file() else []
    return (*first, *checkout, *shipped)


def load_space(method: str, folders: Sequence[Path]) -> SearchSpace:
    """Read `<method>.yaml` from the first folder that has it; a method without a file has an empty space.

    Raises:
        ConfigError: with every problem of the file.
    """
    path = next((folder / f"{method}.yaml" for folder in folders if (folder / f"{method}.yaml").is_file()), None)
    if path is None:
        return SearchSpace(method=method)
    problems = Problems()
    text = read_text(path, problems)
    raw = parse_yaml(text, path.name, problems) if text is not None else None
    space = _space(method, {} if raw is None else raw, problems)
    problems.raise_if_any(ConfigError, f"the search space {path} cannot be used")
    return space


def _space(method: str, raw: Any, problems: Problems) -> SearchSpace:
    if not isinstance(raw, Mapping):
        problems.add(method, f"found {raw!r:.60}", "must be a mapping from hyperparameters to ranges")
        return SearchSpace(method=method)
    distributions: dict[str, BaseDistribution] = {}
    grids: dict[str, tuple[Any, ...]] = {}
    for name, form in raw.items():
        _check_training_name(str(name), problems)
        try:
            distributions[str(name)], grids[str(name)] = read_form(form)
        except ValueError as error:
            problems.add(str(name), f"found {form!r:.60}", str(error))
    return SearchSpace(method=method, distributions=distributions, grid_values=grids)


def _check_training_name(name: str, problems: Problems) -> None:
    valid = [TRAINING_PREFIX + field_name for field_name in TrainingConfig.model_fields if field_name != "augment"]
    if name.startswith(TRAINING_PREFIX) and name not in valid:
        problems.add(name, "is no field of the training section", name_advice(name, valid))


def draw(space: SearchSpace, method: str, index: int) -> dict[str, Any]:
    """Hyperparameters of trial `index`: index 0 is `{}` (the defaults), every other value is drawn.

    A value depends on (method, name, index) only, so that nothing else in a sweep can move it.
    """
    if index == 0:
        return {}
    return {
        name: _value_at(distribution, _uniform(method, name, index))
        for name, distribution in space.distributions.items()
    }


def _uniform(method: str, name: str, index: int) -> float:
    """A number in [0, 1) from the SHA-256 of the key, with the 53 bits that a float holds."""
    digest = hashlib.sha256(f"{method}\0{name}\0{index}".encode()).digest()
    return (int.from_bytes(digest[:8], "big") >> 11) / _MANTISSA


def _value_at(distribution: BaseDistribution, uniform: float) -> Any:
    """The value at quantile `uniform` of the distribution."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[int(uniform * len(distribution.choices))]
    if isinstance(distribution, IntDistribution):
        return _int_at(distribution, uniform)
    if isinstance(distribution, FloatDistribution):
        return _float_at(distribution.low, distribution.high, distribution.log, uniform)
    raise TypeError(f"no draw for {type(distribution).__name__}")


def _float_at(low: float, high: float, log: bool, uniform: float) -> float:
    if log:
        value = math.exp(math.log(low) + uniform * (math.log(high) - math.log(low)))
    else:
        value = low + uniform * (high - low)
    return min(max(value, low), high)


def _int_at(distribution: IntDistribution, uniform: float) -> int:
    """Each whole number owns the interval half a step to both sides (on the log axis when log)."""
    low, high, step = distribution.low, distribution.high, distribution.step
    if distribution.log:
        value = round(_float_at(low - 0.5, high + 0.5, True, uniform))
    else:
        value = low + step * int(uniform * ((high - low) // step + 1))
    return min(max(value, low), high)


def grid_size(space: SearchSpace) -> int:
    """Number of combinations of the grid, the defaults apart."""
    return math.prod(len(_grid_axis(space, name)) for name in space.distributions) if space.distributions else 0


def grid(space: SearchSpace, trials: int) -> list[dict[str, Any]]:
    """The defaults (`{}`), then the first `trials - 1` combinations of the grid, the last hyperparameter fastest."""
    if not space.distributions:
        return [{}]
    names = list(space.distributions)
    rows = itertools.product(*(_grid_axis(space, name) for name in names))
    return [{}, *(dict(zip(names, row, strict=True)) for row in itertools.islice(rows, trials - 1))]


def _grid_axis(space: SearchSpace, name: str) -> tuple[Any, ...]:
    given = space.grid_values.get(name) or ()
    return given or tuple(dict.fromkeys(_value_at(space.distributions[name], at) for at in (0.0, 0.5, 1.0 - 2**-53)))
