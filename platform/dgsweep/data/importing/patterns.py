"""Layouts that file names alone describe: regular expressions for images and labels, matched by their groups."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dgsweep.data.file_walk import files_below
from dgsweep.data.finding import Findings
from dgsweep.data.importing.found import Found, FoundCase, ImportOptions
from dgsweep.data.importing.voxels import MergedLabel, VolumeFile, Voxels, volume

Groups = Mapping[str, str]
SPLITS = {"tr": "train", "training": "train", "va": "val", "validation": "val", "ts": "test", "testing": "test"}
"""How published folders call the sides of a split; train, val and test stay."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A data set whose files tell everything by their paths.

    Patterns are regular expressions on the path below the source folder, with `/`, matched in full without regard to
    case. An image belongs to the label whose named groups are the same.
    """

    images: tuple[str, ...]
    labels: tuple[str, ...]
    structures: Mapping[str, int] = field(default_factory=dict)
    case_id: str = "{id}"
    """Template over the groups."""
    patient_id: str = "{id}"
    center: str = "{center}"
    sequence: str = "{sequence}"
    translate: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Group -> what stands there in lower case -> what is meant."""
    merged: bool = False
    """Whether every value of a label file but 0 is the one structure; such labels are written anew."""
    derive: Callable[[Groups], Groups] | None = None
    """Further groups that follow from those of the path."""
    name: str = ""
    licence: str = ""
    citation: str = ""


_KNOWN = {"id", "case", "patient", "center", "sequence", "split"}


def find_by_layout(source: Path, layout: Layout, options: ImportOptions) -> Found:
    """Every image that a pattern matches, with its label where there is one."""
    findings = Findings()
    files = list(files_below(source))
    labels = _matches(files, layout.labels)
    images = _matches(files, layout.images, without={path for path, _ in labels})
    keyed = _keyed(labels, findings)
    unused: set[Path | None] = {path for path, _ in labels}
    cases = []
    for path, groups in images:
        label = _label_of(groups, keyed)
        unused -= {label}
        cases.append(_case(path, groups, label, layout, options))
    for path in sorted(path for path in unused if path is not None):
        findings.warn(path.name, "a label without an image", "it is left out")
    return Found(
        cases=tuple(cases), name=layout.name or source.resolve().name, labels=dict(layout.structures),
        licence=layout.licence, citation=layout.citation, findings=findings,
    )  # fmt: skip


def template_pattern(template: str) -> str:
    """Regular expression of `{center}/{patient}_{sequence}.nii.gz`; `*` stands for anything but `/`."""
    pieces = re.split(r"(\{\w+\}|\*+)", template)
    seen: set[str] = set()
    built = []
    for piece in pieces:
        if piece.startswith("{"):
            name = piece[1:-1]
            built.append(f"(?P={name})" if name in seen else f"(?P<{name}>[^/]+?)")
            seen.add(name)
        elif piece.startswith("*"):
            built.append(".*" if piece == "**" else "[^/]*")
        else:
            built.append(re.escape(piece))
    return "".join(built)


def _matches(
    files: Sequence[tuple[str, Path]], patterns: Sequence[str], without: Collection[Path] = ()
) -> list[tuple[Path, dict[str, str]]]:
    """Volume files whose path a pattern describes, with the groups that took part."""
    compiled = [re.compile(pattern, re.IGNORECASE) for pattern in patterns]
    found = []
    for relative, file in files:
        if file in without or volume(file) is None:
            continue
        match = next((match for pattern in compiled if (match := pattern.fullmatch(relative))), None)
        if match is not None:
            found.append((file, {name: text for name, text in match.groupdict().items() if text is not None}))
    return found


Keyed = dict[tuple[str, ...], dict[tuple[str, ...], Path]]
"""Names of groups -> their values -> the label file."""


def _keyed(labels: Sequence[tuple[Path, Groups]], findings: Findings) -> Keyed:
    """Label files by their groups; a second one with the same values is a finding."""
    keyed: Keyed = {}
    for path, groups in labels:
        names = tuple(sorted(groups))
        others = keyed.setdefault(names, {})
        if (key := _key(groups, names)) in others:
            findings.warn(path.name, f"{others[key].name} is the same case's label", "the first one is taken")
        others.setdefault(key, path)
    return keyed


def _label_of(groups: Groups, keyed: Keyed) -> Path | None:
    """The label with the same groups; the one with most groups where several fit."""
    for names in sorted(keyed, key=len, reverse=True):
        if (found := keyed[names].get(_key(groups, names))) is not None:
            return found
    return None


def _label(path: Path | None, layout: Layout) -> Voxels | None:
    if path is None:
        return None
    return MergedLabel(path) if layout.merged else VolumeFile(path)


def _key(groups: Groups, names: Sequence[str]) -> tuple[str, ...]:
    return tuple(groups.get(name, "").lower() for name in names)


def _case(image: Path, groups: Groups, label: Path | None, layout: Layout, options: ImportOptions) -> FoundCase:
    told = {"center": options.center, "sequence": options.sequence}
    told |= {name: layout.translate.get(name, {}).get(text.lower(), text) for name, text in groups.items()}
    if layout.derive is not None:
        told |= layout.derive(told)
    told.setdefault("id", told.get("case") or told.get("patient") or image.name.split(".")[0])
    told.setdefault("patient", told["id"])
    split = told.get("split", "").lower()
    return FoundCase(
        case_id=layout.case_id.format_map(told), patient_id=layout.patient_id.format_map(told),
        center=layout.center.format_map(told), sequence=layout.sequence.format_map(told),
        image=VolumeFile(image), label=_label(label, layout), split=SPLITS.get(split, split),
        columns={name: text for name, text in told.items() if name not in _KNOWN},
    )  # fmt: skip
