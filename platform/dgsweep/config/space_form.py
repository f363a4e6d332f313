"""One line of a search-space file, such as `{loguniform: [1e-3, 1]}`, as an Optuna distribution."""

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

FORMS = ("uniform", "loguniform", "int", "int_log", "choice")
_EXTRAS = ("grid", "source")


def read_form(form: Any) -> tuple[BaseDistribution, tuple[Any, ...]]:
    """The distribution and the grid values that one entry declares.

    Raises:
        ValueError: with what was expected.
    """
    if not isinstance(form, Mapping):
        raise ValueError("must be a mapping such as {uniform: [0.0, 1.0]}")
    unknown = [str(key) for key in form if key not in (*FORMS, *_EXTRAS)]
    kinds = [key for key in form if key in FORMS]
    if unknown or len(kinds) != 1:
        raise ValueError(f"needs exactly one of {', '.join(FORMS)}, beside optional grid and source")
    distribution = _distribution(kinds[0], form[kinds[0]])
    return distribution, _grid_values(form.get("grid"), distribution)


def _distribution(kind: str, bounds: Any) -> BaseDistribution:
    if not isinstance(bounds, Sequence) or isinstance(bounds, str) or not bounds:
        raise ValueError(f"{kind} needs a list")
    if kind == "choice":
        return _choice(bounds)
    if len(bounds) != 2 or not all(_is_number(bound) for bound in bounds):
        raise ValueError(f"{kind} needs two finite numbers, [low, high]")
    low, high = bounds
    if low > high or (kind in {"loguniform", "int_log"} and low <= 0):
        raise ValueError(f"{kind} needs low <= high" + (", both above 0" if "log" in kind else ""))
    if kind in {"int", "int_log"}:
        if not all(isinstance(bound, int) for bound in bounds):
            raise ValueError(f"{kind} needs whole numbers")
        return IntDistribution(low, high, log=kind == "int_log")
    return FloatDistribution(float(low), float(high), log=kind == "loguniform")


def _choice(values: Sequence[Any]) -> CategoricalDistribution:
    choices = tuple(_frozen(value) for value in values)
    if not all(_is_plain(part) for choice in choices for part in (choice if isinstance(choice, tuple) else (choice,))):
        raise ValueError("choice needs plain values: numbers, text, true or false, or lists of them")
    if len({repr(choice) for choice in choices}) != len(choices):
        raise ValueError("a choice stands twice in the list")
    with warnings.catch_warnings():  # Optuna warns of lists because its database cannot keep them; we keep none there
        warnings.filterwarnings("ignore", message="Choices for a categorical distribution", category=UserWarning)
        return CategoricalDistribution(choices)


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _is_plain(value: Any) -> bool:
    return isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value))


def _grid_values(values: Any, distribution: BaseDistribution) -> tuple[Any, ...]:
    if values is None:
        return tuple(distribution.choices) if isinstance(distribution, CategoricalDistribution) else ()
    if not isinstance(values, list) or not values:
        raise ValueError("grid needs a list of values")
    frozen = tuple(_frozen(value) for value in values)
    outside = [value for value in frozen if not _inside(value, distribution)]
    if outside:
        raise ValueError(f"grid value {outside[0]!r} lies outside the range")
    return frozen


def _inside(value: Any, distribution: BaseDistribution) -> bool:
    if isinstance(distribution, CategoricalDistribution):
        return value in distribution.choices
    if isinstance(distribution, FloatDistribution | IntDistribution):
        whole = isinstance(value, int) or isinstance(distribution, FloatDistribution)
        return _is_number(value) and whole and distribution.low <= value <= distribution.high
    return False


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
