"""YAML as people mean it: the core schema of YAML 1.2, no key twice, nothing executable."""

import re
from collections.abc import Hashable
from typing import Any

import yaml

from dgsweep.errors import Problems

MAX_TEXT_BYTES = 4_000_000
_INT = re.compile(r"^[-+]?(?:0|[1-9][0-9]*|0x[0-9a-fA-F]+|0o[0-7]+)$")
_FLOAT = re.compile(
    r"^[-+]?(?:(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?|\.(?:inf|Inf|INF))$|^\.(?:nan|NaN|NAN)$"
)


class _CoreLoader(yaml.SafeLoader):
    """PyYAML speaks YAML 1.1, where `1e-3` is text, `off` is false and `1:30` is ninety: none of that here."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's own class attribute

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.repeated: list[tuple[str, int]] = []

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Build a mapping and note keys that stand twice, before merge keys are expanded."""
        seen: set[str] = set()
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    self.repeated.append((key.value, key.start_mark.line + 1))
                seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


def _core_int(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    return int(str(loader.construct_scalar(node)), 0)


_CoreLoader.add_constructor("tag:yaml.org,2002:int", _core_int)
for _tag, _pattern, _first in (
    ("null", re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""]),
    ("bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")),
    ("int", _INT, list("-+0123456789")),
    ("float", _FLOAT, list("-+0123456789.")),
    ("merge", re.compile(r"^<<$"), ["<"]),
):
    _CoreLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", _pattern, _first)


def parse_yaml(text: str, where: str, problems: Problems) -> Any:
    """Parse one YAML document into plain Python values.

    Syntax errors and keys that stand twice are noted in `problems` with their line; after a syntax error it is None.
    """
    try:
        loader = _CoreLoader(text)
        value = loader.get_single_data()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{where}, line {mark.line + 1}" if mark else where
        problems.add(place, f"not valid YAML: {error.problem or error.context}", "check indentation, quotes, brackets")
        return None
    except (yaml.YAMLError, ValueError) as error:
        problems.add(where, f"not valid YAML: {str(error).splitlines()[0]}", "write plain UTF-8 text")
        return None
    except RecursionError:
        problems.add(where, "is nested too deeply", "a sweep file needs a handful of levels")
        return None
    for key, line in loader.repeated:
        problems.add(f"{where}, line {line}", f"the key `{key}` stands twice", "keep one of the two")
    return value
