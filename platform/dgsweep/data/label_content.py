"""What the files hold against what the table and dataset.yaml say of them; each content is read once."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dgsweep.data.finding import Findings
from dgsweep.data.geometry import read_label
from dgsweep.data.hashes import HashStore
from dgsweep.data.nifti import read_header
from dgsweep.data.structures import DatasetFile, values_in_domain
from dgsweep.errors import CaseError

if TYPE_CHECKING:
    from dgsweep.data.manifest import Case

LabelValues = Mapping[str, frozenset[int]]
"""Case id -> values that its label file holds."""
SHOWN = 10


def label_values(cases: Sequence["Case"], store: HashStore, findings: Findings) -> LabelValues:
    """Values of every label file; one that cannot be read as a label map becomes a finding."""
    values = {}
    for case in cases:
        try:
            values[case.info.case_id] = frozenset(_values_of(case, store))
        except CaseError as error:
            for problem in error.problems:
                where = f"case {case.info.case_id}, label"
                findings.error(where, problem.found, problem.fix, case_id=case.info.case_id)
    return values


def _values_of(case: "Case", store: HashStore) -> tuple[int, ...]:
    return () if case.label is None else values_of_file(case.label, case.info.label_sha, store)


def values_of_file(path: Path, sha: str, store: HashStore) -> tuple[int, ...]:
    """Values of a label map with this content, read only when nobody has; CaseError when it is no label map."""
    known = store.label_values(sha)
    if known is None:
        grid, _ = read_header(path)
        known = tuple(int(value) for value in np.unique(read_label(path, grid)))
        store.note_label_values(sha, known)
    return known


def check_unnamed_values(
    cases: Sequence["Case"], values: LabelValues, dataset: DatasetFile, findings: Findings
) -> None:
    """Values that dataset.yaml does not name: a label map of something else, or a mapping that was forgotten."""
    for case in cases:
        held = values.get(case.info.case_id, frozenset())
        note_unnamed(held, case, dataset, findings, where=f"case {case.info.case_id}, label")


def note_unnamed(held: Collection[int], case: "Case", dataset: DatasetFile, findings: Findings, *, where: str) -> None:
    """An error for values of a label file of this case that dataset.yaml does not name."""
    domain = case.info.domain(("center", "sequence"))
    named = set(values_in_domain(dataset, dataset.labels, domain).values())
    unexpected = sorted(set(held) - named - {0})
    if named and unexpected:
        listed = ", ".join(map(str, unexpected[:SHOWN]))
        findings.error(
            where, f"values that dataset.yaml does not name: {listed}", "name them there, or set them to 0",
            case_id=case.info.case_id,
        )  # fmt: skip


def check_structures_occur(
    cases: Sequence["Case"], values: LabelValues, findings: Findings, *, asked_for: bool
) -> None:
    """A structure that no label file holds would be trained on nothing: an error where the sweep asks for it."""
    labelled = [case for case in cases if case.label is not None and case.info.case_id in values]
    for name in dict.fromkeys(name for case in labelled for name in case.label_values):
        if any(case.label_values[name] in values[case.info.case_id] for case in labelled):
            continue
        note = findings.error if asked_for else findings.warn
        held = sorted(frozenset().union(*values.values()) - {0})[:SHOWN]
        note(
            "data.target_labels" if asked_for else "dataset.yaml labels",
            f"no label file holds {name} ({labelled[0].label_values[name]})",
            f"they hold the values {', '.join(map(str, held)) or '0 only'}",
        )


def check_same_image(cases: Sequence["Case"], findings: Findings) -> None:
    """The same scan under two patients would stand on both sides of a split."""
    by_content: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        by_content[case.info.image_sha].append(case)
    for same in by_content.values():
        where, first = f"cases {', '.join(case.info.case_id for case in same)}", same[0].info.case_id
        if len({case.info.patient_id for case in same}) > 1:
            findings.error(where, "the same image under different patients", "give them one patient_id, or remove one",
                           case_id=first)  # fmt: skip
        elif len(same) > 1:
            findings.warn(where, "the same image twice", "remove one", case_id=first)
