"""Hyperparameters against a declaration: known, of the right type, inside the allowed range."""

import math
from collections.abc import Mapping
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from dgsweep.config.declaration import Hyperparameter
from dgsweep.config.names import name_advice
from dgsweep.config.search_space import TRAINING_PREFIX, SearchSpace
from dgsweep.errors import Problems


def resolve_values(
    declared: Mapping[str, Hyperparameter],
    given: Mapping[str, Any],
    where: str,
    problems: Problems,
    *,
    what: str = "hyperparameter",
) -> dict[str, Any]:
    """Defaults overlaid with `given`, in plain JSON types; everything that is not allowed is noted in `problems`."""
    values = {name: plain_value(hyperparameter.default) for name, hyperparameter in declared.items()}
    for name, value in given.items():
        if name not in declared:
            problems.add(f"{where}.{name}", f"is no {what}", name_advice(str(name), declared))
            continue
        complaint = value_complaint(declared[name], value)
        if complaint:
            problems.add(f"{where}.{name}", f"found {value!r:.60}", complaint)
        else:
            values[name] = _as_declared(declared[name].default, plain_value(value))
    return values


def plain_value(value: Any) -> Any:
    """Tuples as lists, as JSON gives them back."""
    return [plain_value(part) for part in value] if isinstance(value, tuple | list) else value


def value_complaint(declared: Hyperparameter, value: Any) -> str:
    """What was expected instead of `value`, or '' when it is allowed."""
    if declared.choices is not None:
        allowed = [plain_value(choice) for choice in declared.choices]
        return "" if _is_one_of(plain_value(value), allowed) else f"must be one of {', '.join(map(repr, allowed))}"
    if isinstance(declared.default, tuple):
        if not isinstance(value, list | tuple) or not value:
            return "must be a list"
        wanted = declared.default[0] if declared.default else None
        return next((text for part in value if (text := _part_complaint(declared, wanted, part))), "")
    return _part_complaint(declared, declared.default, value)


def _is_one_of(value: Any, allowed: list[Any]) -> bool:
    return any(value == choice and isinstance(value, bool) == isinstance(choice, bool) for choice in allowed)


def _part_complaint(declared: Hyperparameter, wanted: Any, value: Any) -> str:
    kind = _kind(wanted)
    if kind and not _has_kind(value, kind):
        return f"must be {kind}"
    if isinstance(value, int | float) and not isinstance(value, bool):
        low = -math.inf if declared.low is None else declared.low
        high = math.inf if declared.high is None else declared.high
        if not low <= value <= high:
            return f"must lie in [{low:g}, {high:g}]"
    return ""


def _kind(default: Any) -> str:
    kinds = ((bool, "true or false"), (int, "a whole number"), (float, "a finite number"), (str, "text"))
    return next((name for kind, name in kinds if isinstance(default, kind)), "")


def _has_kind(value: Any, kind: str) -> bool:
    if kind == "true or false":
        return isinstance(value, bool)
    if kind == "text":
        return isinstance(value, str)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return isinstance(value, int) if kind == "a whole number" else math.isfinite(value)


def _as_declared(default: Any, value: Any) -> Any:
    """Whole numbers given for a float become floats, so that 2 and 2.0 are the same trial."""
    if isinstance(default, float) and isinstance(value, int):
        return float(value)
    if isinstance(default, tuple) and default and isinstance(default[0], float):
        return [float(part) for part in value]
    return value


def check_space(space: SearchSpace, declared: Mapping[str, Hyperparameter], problems: Problems) -> None:
    """Note every key of the space that is no field of the method, and every bound outside the allowed range."""
    for name, distribution in space.distributions.items():
        if name.startswith(TRAINING_PREFIX):
            continue
        where = f"search space of {space.method}: {name}"
        if name not in declared:
            problems.add(where, "is no hyperparameter", name_advice(name, declared))
            continue
        ends = [*_ends(distribution), *space.grid_values.get(name, ())]
        for complaint in dict.fromkeys(value_complaint(declared[name], value) for value in ends):
            if complaint:
                problems.add(where, "the range holds values that the method does not allow", complaint)


def _ends(distribution: BaseDistribution) -> tuple[Any, ...]:
    if isinstance(distribution, CategoricalDistribution):
        return tuple(distribution.choices)
    if isinstance(distribution, FloatDistribution | IntDistribution):
        return distribution.low, distribution.high
    return ()
