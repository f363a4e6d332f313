"""The sweep-file reference against the schema: nothing undocumented, nothing invented, every default as it is."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

import pytest
import yaml
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from dgsweep.config.schema import SweepConfig

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "sweep-yaml.md"
ROW = re.compile(r"^\| `([a-z_.]+)` \| (.*?) \| ", re.MULTILINE)


def section_of(annotation: Any) -> type[BaseModel] | None:
    """The section that a field holds, itself or in a list."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (tuple, Union, UnionType):
        return next((found for part in get_args(annotation) if (found := section_of(part))), None)
    return None


def schema_keys(model: type[BaseModel] = SweepConfig, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted path and default of every plain key; lists of objects count as a key and as a section."""
    for name, field in model.model_fields.items():
        section = section_of(field.annotation)
        if section is None or get_origin(field.annotation) is tuple:
            yield prefix + name, field.default
        if section is not None:
            yield from schema_keys(section, f"{prefix}{name}.")


SCHEMA = dict(schema_keys())
DOCUMENTED = dict(ROW.findall(PAGE.read_text(encoding="utf-8")))


def test_every_key_of_the_schema_is_documented() -> None:
    assert sorted(set(SCHEMA) - set(DOCUMENTED)) == []


def test_every_documented_key_exists() -> None:
    assert sorted(set(DOCUMENTED) - set(SCHEMA)) == []


def test_the_walk_reaches_nested_sections() -> None:
    assert {"manifest", "augment"} & set(SCHEMA) == set()
    assert {"data.manifest", "training.augment.p_rotate", "protocol.splits.sources", "methods.hp"} <= set(SCHEMA)


@pytest.mark.parametrize("key", sorted(SCHEMA))
def test_the_documented_default_is_the_schemas(key: str) -> None:
    default, written = SCHEMA[key], DOCUMENTED[key]
    if default is PydanticUndefined:
        assert written in {"required", "`{}`"}
        return
    as_json = json.loads(json.dumps(default, default=lambda model: model.model_dump(exclude_defaults=True)))
    if key == "networks":
        as_json = [item["name"] for item in as_json]
    assert yaml.safe_load(written.strip("`")) == as_json
