"""Second readings of a label: by another observer, or by the same one again. Never trained on, never a reference."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dgsweep.data.finding import Findings
from dgsweep.data.hashes import HashStore
from dgsweep.data.label_content import note_unnamed, values_of_file
from dgsweep.data.structures import DatasetFile
from dgsweep.errors import CaseError

if TYPE_CHECKING:
    from dgsweep.data.manifest import Case

SECOND_LABELS = {"inter": "label_inter", "intra": "label_intra"}
"""Observer -> manifest column: another observer than that of `label`, or the same one a second time."""


@dataclass(frozen=True, kw_only=True)
class SecondLabel:
    """A second label map of one case, on the grid of its image."""

    case_id: str
    observer: str
    """Key of SECOND_LABELS."""
    path: Path
    sha: str
    """Hash of the file's content."""


def check_second_labels(
    second: Sequence[SecondLabel], cases: Sequence["Case"], store: HashStore, dataset: DatasetFile, findings: Findings
) -> None:
    """Values that nothing names, whole numbers, and copies of the first label."""
    by_id = {case.info.case_id: case for case in cases}
    for one in second:
        if one.case_id in by_id:
            _check(one, by_id[one.case_id], store, dataset, findings)


def _check(one: SecondLabel, case: "Case", store: HashStore, dataset: DatasetFile, findings: Findings) -> None:
    where = f"case {one.case_id}, {SECOND_LABELS[one.observer]}"
    try:
        held = set(values_of_file(one.path, one.sha, store))
    except CaseError as error:
        for problem in error.problems:
            findings.error(where, problem.found, problem.fix, case_id=one.case_id)
        return
    note_unnamed(held, case, dataset, findings, where=where)
    if one.sha == case.info.label_sha:
        findings.warn(where, "the same content as label", "two readings are never equal: is it a copy?",
                      case_id=one.case_id)  # fmt: skip
    elif not held & set(case.label_values.values()):
        names = ", ".join(case.label_values) or "any structure"
        findings.warn(where, f"no voxel of {names}", "it agrees with nothing", case_id=one.case_id)
