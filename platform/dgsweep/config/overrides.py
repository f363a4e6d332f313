"""`--set training.batch=4`: one key of the sweep file from the command line."""

from collections.abc import Sequence
from typing import Any

from dgsweep.config.yaml_text import parse_yaml
from dgsweep.errors import Problems

_FORM = "write it as --set section.key=value"


def apply_overrides(raw: dict[str, Any], overrides: Sequence[str], problems: Problems) -> None:
    """Write each `a.b=value` (the value is YAML; list items go by number) into `raw`, in order."""
    for text in overrides:
        path, equals, value = text.partition("=")
        keys = path.strip().split(".")
        if not equals or not all(keys):
            problems.add(f"--set {text}", "is no `key=value`", _FORM)
            continue
        _put(raw, keys, parse_yaml(value, f"--set {text}", problems), problems)


def _put(raw: Any, keys: list[str], value: Any, problems: Problems) -> None:
    node = raw
    for depth, key in enumerate(keys):
        last = depth == len(keys) - 1
        where = f"--set {'.'.join(keys)}"
        if isinstance(node, dict):
            if last:
                node[key] = value
            else:
                node[key] = {} if node.get(key) is None else node[key]
                node = node[key]
        elif isinstance(node, list) and key.isdecimal() and int(key) < len(node):
            if last:
                node[int(key)] = value
            else:
                node[int(key)] = _as_section(node[int(key)])
                node = node[int(key)]
        else:
            done = ".".join(keys[:depth])
            problems.add(where, f"`{done}` has no item `{key}`", "set the whole of it, or check the path")
            return


def _as_section(item: Any) -> Any:
    """`erm` in a list of methods stands for `{name: erm}`."""
    return {"name": item} if isinstance(item, str) else item
