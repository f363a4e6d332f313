"""From sweep.yaml and `--set` to one validated, frozen configuration, or to every problem at once."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from dgsweep.config.field_errors import field_problems
from dgsweep.config.overrides import apply_overrides
from dgsweep.config.read_text import read_text
from dgsweep.config.schema import SweepConfig
from dgsweep.config.section import Section
from dgsweep.config.yaml_text import parse_yaml
from dgsweep.errors import ConfigError, Problems


def load_sweep(path: Path, overrides: Sequence[str] = ()) -> SweepConfig:
    """Read a sweep file and apply `a.b=value` overrides.

    Raises:
        ConfigError: with every problem of the file and of the overrides.
    """
    problems = Problems()
    text = read_text(path, problems)
    raw = parse_yaml(text, path.name, problems) if text is not None else None
    if not problems and not isinstance(raw, dict):
        problems.add(
            str(path), "is empty or no mapping", "it needs at least `data: {manifest: ...}` and `methods: [...]`"
        )
    if not isinstance(raw, dict):
        problems.raise_if_any(ConfigError, f"{path} cannot be used")
        raise AssertionError("a problem was noted above")
    apply_overrides(raw, overrides, problems)
    return _validated(_with_names(raw, path), path, problems)


def _validated(raw: dict[str, Any], path: Path, problems: Problems) -> SweepConfig:
    config: SweepConfig | None = None
    try:
        config = SweepConfig.model_validate(raw)
    except ValidationError as error:
        problems.extend(field_problems(error, raw, SweepConfig))
    count = len(list(problems))
    problems.raise_if_any(ConfigError, f"{path} has {count} problem{'s' if count > 1 else ''}")
    if config is None:
        raise AssertionError("validation failed without a problem")
    return config


def _with_names(raw: dict[str, Any], path: Path) -> dict[str, Any]:
    """Fill the defaults that follow from the file's name; an empty section is an absent one."""
    sections = {key for key, field in SweepConfig.model_fields.items() if _is_section(field.annotation)}
    filled = {key: value for key, value in raw.items() if not (value is None and key in sections)}
    filled.setdefault("name", _safe_name(path.stem))
    filled.setdefault("output", f"runs/{filled['name']}")
    tracking = filled.get("tracking", {})
    if isinstance(tracking, dict) and tracking.get("experiment") is None:
        filled["tracking"] = {**tracking, "experiment": str(filled["name"])}
    return filled


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Section)


def _safe_name(stem: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).lstrip("._-")[:100] or "sweep"
