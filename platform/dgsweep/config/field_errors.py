"""Pydantic's findings as problems that name the field, what was found and what was expected."""

from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from dgsweep.config.names import name_advice, nearest_name
from dgsweep.errors import Problem

_SHOWN = 60


def field_problems(error: ValidationError, raw: Any, model: type[BaseModel]) -> list[Problem]:
    """One problem a field, in the order of the file; the branches of a union count as one."""
    merged: dict[str, Problem] = {}
    for item in error.errors(include_url=False):
        if item["type"] == "too_short" and len(item["input"]) >= item["ctx"]["min_length"]:
            continue  # pydantic counts only the valid parts; the invalid ones have a problem of their own
        problem = _problem(dict(item), raw, model)
        known = merged.get(problem.where)
        if known is not None and problem.fix not in known.fix:
            problem = Problem(where=known.where, found=known.found, fix=f"{known.fix}, or {problem.fix}")
        merged[problem.where] = problem
    return list(merged.values())


def _problem(item: Mapping[str, Any], raw: Any, model: type[BaseModel]) -> Problem:
    loc, kind = tuple(item["loc"]), item["type"]
    if kind == "extra_forbidden":
        return Problem(where=_path(loc), found="unknown key", fix=_key_advice(loc, model))
    if kind == "missing":
        return Problem(where=_path(loc), found="is missing", fix="it has no default")
    return Problem(where=_path(_existing(loc, raw)), found=f"found {_short(item['input'])}", fix=_expected(item))


def _expected(item: Mapping[str, Any]) -> str:
    if item["type"] == "tuple_type":
        return "must be a list, such as [1, 2]"
    if item["type"] in {"model_type", "dict_type", "model_attributes_type"}:
        return "must be a section with keys"
    if item["type"] == "too_short":
        return f"must hold at least {item['ctx']['min_length']}"
    if item["type"] == "string_pattern_mismatch":
        return f"must match the pattern {item['ctx']['pattern']}"
    return str(item["msg"]).removeprefix("Value error, ").replace("Input should be", "must be")


def _existing(loc: tuple[str | int, ...], raw: Any) -> tuple[str | int, ...]:
    """The part of `loc` that the file has: pydantic appends the names of union branches and validators."""
    node, kept = raw, list[str | int]()
    for part in loc:
        if not _has(node, part):
            break
        node = node[part]
        kept.append(part)
    return tuple(kept) or loc


def _has(node: Any, part: str | int) -> bool:
    if isinstance(node, Mapping):
        return part in node
    return isinstance(node, list) and isinstance(part, int) and part < len(node)


def _key_advice(loc: tuple[str | int, ...], model: type[BaseModel]) -> str:
    name, parent = str(loc[-1]), _model_at(loc[:-1], model)
    if parent is None or nearest_name(name, parent.model_fields) is not None:
        return name_advice(name, parent.model_fields if parent else ())
    elsewhere = [path for path in _all_paths(model) if path.rpartition(".")[2] == name]
    return f"did you mean `{elsewhere[0]}`?" if elsewhere else name_advice(name, parent.model_fields)


def _model_at(loc: tuple[str | int, ...], model: type[BaseModel]) -> type[BaseModel] | None:
    found: type[BaseModel] | None = model
    for part in loc:
        if isinstance(part, str):
            field = found.model_fields.get(part) if found else None
            found = next(_models_in(field.annotation), None) if field else None
    return found


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models_in(part)


def _all_paths(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield prefix + name
        for inner in _models_in(field.annotation):
            yield from _all_paths(inner, f"{prefix}{name}.")


def _path(loc: tuple[str | int, ...]) -> str:
    return ".".join(str(part) for part in loc)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
