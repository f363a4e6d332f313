"""dataset.yaml, and which structures are segmented under which values of the label files."""

import difflib
import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from dgsweep.data.finding import Findings

BACKGROUND = "background"
MAX_STRUCTURES = 255


@dataclass(frozen=True, kw_only=True)
class DatasetFile:
    """What stands in `dataset.yaml` beside the manifest; all of it optional."""

    where: str
    name: str = ""
    licence: str = ""
    citation: str = ""
    labels: Mapping[str, int] = field(default_factory=dict)
    """Structure -> value in the label files, background (0) left out."""
    label_map: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Domain pattern `center/sequence` -> structure -> value in the label files of that domain."""


def read_dataset_file(folder: Path, findings: Findings) -> DatasetFile:
    """Read `dataset.yaml` of a folder; an absent file is an empty one, a wrong one leaves findings."""
    path = folder / "dataset.yaml"
    if not path.is_file():
        return DatasetFile(where=path.name)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        findings.error(path.name, f"it cannot be read ({error})", "expected a YAML mapping")
        return DatasetFile(where=path.name)
    if not isinstance(content, dict):
        findings.error(
            path.name, f"it holds a {type(content).__name__}", "expected a mapping with name, licence, labels"
        )
        return DatasetFile(where=path.name)
    text = {key: str(content.get(key) or "") for key in ("name", "licence", "citation")}
    labels = _labels(content.get("labels") or {}, f"{path.name} labels", findings)
    return DatasetFile(
        where=path.name, labels=labels, label_map=_label_map(content, path.name, labels, findings), **text
    )


def target_structures(
    dataset: DatasetFile, wanted: Sequence[str | int] | None, present: Sequence[int], findings: Findings
) -> dict[str, int]:
    """Structures to segment -> value; `present` are the values of the label files, used when nothing names them."""
    if wanted is None:
        return dict(dataset.labels) or {f"label_{value}": value for value in present if value != 0}
    chosen: dict[str, int] = {}
    for item in wanted:
        found = _resolve(dataset, item)
        if found is None:
            findings.error("data.target_labels", f"{item!r} is no label of the data set", _known(dataset, item))
        elif found[0] in chosen:
            findings.error("data.target_labels", f"{item!r} stands twice", "name each structure once")
        else:
            chosen[found[0]] = found[1]
    return chosen


def values_in_domain(dataset: DatasetFile, structures: Mapping[str, int], domain: str) -> dict[str, int]:
    """Structure -> value in the label files of one domain: the first pattern of label_map that matches."""
    for pattern, mapping in dataset.label_map.items():
        if fnmatch.fnmatchcase(domain, pattern):
            return {name: mapping.get(name, value) for name, value in structures.items()}
    return dict(structures)


def _resolve(dataset: DatasetFile, item: str | int) -> tuple[str, int] | None:
    if isinstance(item, str) and item in dataset.labels:
        return item, dataset.labels[item]
    digits = str(item).removeprefix("label_")
    if not digits.isdecimal() or int(digits) == 0:
        return None
    value = int(digits)
    named = [name for name, known in dataset.labels.items() if known == value]
    if named:
        return named[0], value
    return None if dataset.labels else (f"label_{value}", value)


def _known(dataset: DatasetFile, item: str | int) -> str:
    if not dataset.labels:
        return f"{dataset.where} names no labels: write integers above 0, or add `labels:` to it"
    near = difflib.get_close_matches(str(item), dataset.labels, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return hint + "known are " + ", ".join(f"{name} ({value})" for name, value in dataset.labels.items())


def _labels(content: Any, where: str, findings: Findings) -> dict[str, int]:
    if not isinstance(content, dict):
        findings.error(where, f"found a {type(content).__name__}", "expected `name: value` pairs")
        return {}
    labels: dict[str, int] = {}
    for name, value in content.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            findings.error(where, f"{name}: {value!r}", "expected a whole number of 0 or more")
        elif value in labels.values():
            findings.error(where, f"the value {value} stands twice", "each structure needs a value of its own")
        elif value != 0 and str(name).lower() != BACKGROUND:
            labels[str(name)] = value
    if len(labels) > MAX_STRUCTURES:
        findings.error(where, f"{len(labels)} structures", f"at most {MAX_STRUCTURES} can be segmented")
    return labels


def _label_map(
    content: Mapping[str, Any], file: str, labels: Mapping[str, int], findings: Findings
) -> dict[str, dict[str, int]]:
    mapping = content.get("label_map") or {}
    if not isinstance(mapping, dict):
        findings.error(
            f"{file} label_map", f"found a {type(mapping).__name__}", "expected `center/sequence: {name: value}`"
        )
        return {}
    result = {}
    for pattern, pairs in mapping.items():
        where = f"{file} label_map {pattern}"
        result[str(pattern)] = _labels(pairs, where, findings)
        for name in result[str(pattern)]:
            if name not in labels:
                findings.error(
                    where, f"{name!r} is no label of the data set", f"known are {', '.join(labels) or 'none'}"
                )
    return result
