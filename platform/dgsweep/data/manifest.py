"""The manifest: which scans there are, of whom, from where; every problem is reported at once."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dgsweep.config.schema import DataConfig
from dgsweep.data.finding import Findings
from dgsweep.data.geometry import grid_mismatch
from dgsweep.data.grid import NativeGrid
from dgsweep.data.hashes import HashStore
from dgsweep.data.label_content import (
    LabelValues,
    check_same_image,
    check_structures_occur,
    check_unnamed_values,
    label_values,
)
from dgsweep.data.nifti import MAX_VOLUME_BYTES, case_error, count_bad_voxels, is_nifti, read_header
from dgsweep.data.second_labels import SECOND_LABELS, SecondLabel, check_second_labels
from dgsweep.data.structures import MAX_STRUCTURES, DatasetFile, read_dataset_file, target_structures, values_in_domain
from dgsweep.data.table import REQUIRED, Row, read_rows
from dgsweep.errors import CaseError, ManifestError
from dgsweep.plan.case import CaseInfo

SPLITS = ("train", "val", "test")
ALLOW_OUTSIDE = "move the file, or set data.allow_outside: true (data check: --allow-outside)"
_CASE_ID = re.compile(r"[^\W_][\w.=@-]{0,127}")
_FACTOR_FORBIDDEN = re.compile(r"[/+*?\[\]\x00-\x1f]")
"""`/` and `+` join domain names, the others are shell patterns of the explicit protocol."""
TRAILING_BYTES = 2**20
"""How much longer than its header says a file may be."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One row of the manifest, with its files."""

    info: CaseInfo
    image: Path
    label: Path | None
    label_values: Mapping[str, int]
    """Structure -> value in this case's label file."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """A data set that can be used."""

    path: Path
    name: str
    licence: str
    citation: str
    labels: Mapping[str, int]
    """Structures to segment -> value in the label files (a domain's own values: `Case.label_values`)."""
    cases: tuple[Case, ...]
    second_labels: tuple[SecondLabel, ...] = ()
    """Second readings, apart from the cases, so that they reach no training and no score."""


def read_manifest(path: Path, data: DataConfig, *, hashes: HashStore | None = None) -> Manifest:
    """Read and verify a manifest and every file that it names: headers, content, voxels only if no label is named.

    Raises ManifestError with every problem found. `hashes` remembers fingerprints between runs.
    """
    manifest, findings = inspect_manifest(path, data, hashes=hashes)
    if findings.errors:
        raise ManifestError(f"{path} cannot be used: {len(findings.errors)} problems", findings.errors)
    return manifest


def inspect_manifest(
    path: Path, data: DataConfig, *, hashes: HashStore | None = None, max_bytes: int = MAX_VOLUME_BYTES
) -> tuple[Manifest, Findings]:
    """As `read_manifest`, but returns the usable cases beside the findings; ManifestError only without a table."""
    findings, store = Findings(), hashes or HashStore()
    rows = read_rows(path, findings)
    dataset = read_dataset_file(path.parent, findings)
    _check_rows(rows, findings)
    reader = _CaseReader(path.parent.resolve(), data.allow_outside, store, findings, max_bytes)
    found = [case for row in rows if (case := reader.case(row)) is not None]
    named = data.target_labels is not None or dataset.labels
    values = label_values(found, store, findings)
    present = [] if named else _distinct(values, findings)
    structures = target_structures(dataset, data.target_labels, present, findings)
    if not structures and data.target_labels is None and any(case.label for case in found):
        findings.error(
            path.name, "no structure to segment was found", "set data.target_labels or labels in dataset.yaml"
        )
    cases = tuple(_with_values(case, dataset, structures) for case in found)
    check_unnamed_values(cases, values, dataset, findings)
    check_structures_occur(cases, values, findings, asked_for=data.target_labels is not None)
    check_second_labels(reader.second, cases, store, dataset, findings)
    check_same_image(cases, findings)
    store.save()
    name = dataset.name or path.resolve().parent.name
    manifest = Manifest(path=path.resolve(), name=name, licence=dataset.licence, citation=dataset.citation,
                        labels=structures, cases=cases, second_labels=tuple(reader.second))  # fmt: skip
    return manifest, findings


class _CaseReader:
    """Turns rows into cases and leaves findings for those that cannot be used."""

    def __init__(self, folder: Path, allow_outside: bool, store: HashStore, findings: Findings, max_bytes: int) -> None:
        self._folder, self._allow_outside = folder, allow_outside
        self._store, self._findings, self._max_bytes = store, findings, max_bytes
        self.second: list[SecondLabel] = []
        """Second readings of the cases so far."""

    def case(self, row: Row) -> Case | None:
        image, label = self._path(row, "image"), self._path(row, "label")
        image_file = self._file(row, image)
        label_file = self._file(row, label)
        if image is None or image_file is None or (row["label"] and label_file is None):
            return None
        grid, image_sha = image_file
        if label_file is not None and not self._fits(row, "label", grid, label_file[0]):
            return None
        self._read_again(row, grid)
        info = CaseInfo(
            case_id=row["case_id"], patient_id=row["patient_id"], center=row["center"], sequence=row["sequence"],
            labelled=label is not None, image_sha=image_sha, label_sha=label_file[1] if label_file else "",
            shape=grid.canonical_shape, spacing_mm=grid.spacing_mm, split=row["split"], columns=dict(row.values),
        )  # fmt: skip
        return Case(info=info, image=image, label=label, label_values={})

    def _read_again(self, row: Row, grid: NativeGrid) -> None:
        """Note the second readings of a row that lie on the image's grid."""
        for observer, column in SECOND_LABELS.items():
            path = self._path(row, column)
            found = self._file(row, path)
            if path is None or found is None or not self._fits(row, column, grid, found[0]):
                continue
            if not row["label"]:
                self._findings.error(_where(row, column), "there is no label to compare it with",
                                     "name the first reading in the column label", case_id=row["case_id"])  # fmt: skip
                continue
            self.second.append(SecondLabel(case_id=row["case_id"], observer=observer, path=path, sha=found[1]))

    def _fits(self, row: Row, column: str, image: NativeGrid, label: NativeGrid) -> bool:
        if mismatch := grid_mismatch(image, label):
            fix = "resample the label onto the image"
            self._findings.error(_where(row, column), mismatch, fix, case_id=row["case_id"])
        return not mismatch

    def _path(self, row: Row, column: str) -> Path | None:
        """Where the row's file lies, None when it is not named, absent, outside or no NIfTI."""
        if not row[column]:
            return None
        problem = ""
        try:
            path = (self._folder / row[column]).resolve()
            if not self._allow_outside and not path.is_relative_to(self._folder):
                problem, fix = "the path leaves the manifest's folder", ALLOW_OUTSIDE
            elif not path.is_file():
                problem, fix = "there is no such file", f"looked in {self._folder}"
            elif not is_nifti(path):
                problem, fix = "the file is no NIfTI by its name", "expected .nii or .nii.gz; convert the scan"
        except (OSError, ValueError, RuntimeError) as error:  # name too long, a zero byte, a loop of links
            problem, fix = f"the path cannot be used ({error})", "correct it"
        if not problem:
            return path
        self._findings.error(_where(row, column), f"{row[column]!r}: {problem}", fix, case_id=row["case_id"])
        return None

    def _file(self, row: Row, path: Path | None) -> tuple[NativeGrid, str] | None:
        """Grid and content hash of one file, None (and a finding) when it is unusable."""
        if path is None:
            return None
        try:
            grid, needed = read_header(path, self._max_bytes)
            content = self._store.fingerprint(path, limit=needed + TRAILING_BYTES)
        except CaseError as error:
            for problem in error.problems:
                where = f"{row.where}, case {row['case_id']}, {path.name}"
                self._findings.error(where, problem.found, problem.fix, case_id=row["case_id"])
            return None
        if content.length < needed:
            self._findings.error(
                f"{row.where}, case {row['case_id']}, {path.name}",
                f"the file holds {content.length} bytes, its header declares {needed}",
                "copy the file again; it is cut", case_id=row["case_id"],
            )  # fmt: skip
            return None
        return (grid, content.sha) if self._voxels_are_finite(row, path, content.sha) else None

    def _voxels_are_finite(self, row: Row, path: Path, sha: str) -> bool:
        try:
            if bad := self._bad_voxels(path, sha):
                raise case_error(path, f"{bad} voxels are NaN or infinite", "replace them by the background value")
        except CaseError as error:
            for problem in error.problems:
                where = f"{row.where}, case {row['case_id']}, {path.name}"
                self._findings.error(where, problem.found, problem.fix, case_id=row["case_id"])
            return False
        return True

    def _bad_voxels(self, path: Path, sha: str) -> int:
        """Whole numbers cannot be NaN, so only floating-point files are read, once for each content."""
        known = self._store.bad_voxels(sha)
        if known is None:
            known = count_bad_voxels(path, self._max_bytes)
            self._store.note_bad_voxels(sha, known)
        return known


def _where(row: Row, column: str) -> str:
    return f"{row.where}, case {row['case_id']}, column {column}"


def _check_rows(rows: Sequence[Row], findings: Findings) -> None:
    """What can be told from the text alone."""
    first: dict[str, str] = {}
    splits: dict[str, tuple[str, str]] = {}
    for row in rows:
        case_id = row["case_id"]
        for column in REQUIRED:
            if not row[column]:
                findings.error(_where(row, column), "the field is empty", "every case needs it", case_id=case_id)
        if case_id and not _CASE_ID.fullmatch(case_id):
            findings.error(_where(row, "case_id"), f"{case_id!r} cannot name a file",
                           "expected letters, digits and . _ - = @, at most 128, starting with a letter or digit",
                           case_id=case_id)  # fmt: skip
        if case_id in first:
            findings.error(_where(row, "case_id"), f"{case_id!r} stands in {first[case_id]} too", "use one id a scan",
                           case_id=case_id)  # fmt: skip
        first.setdefault(case_id, row.where)
        _check_factors(row, findings)
        _check_split(row, splits, findings)


def _check_factors(row: Row, findings: Findings) -> None:
    for column in ("center", "sequence"):
        if _FACTOR_FORBIDDEN.search(row[column]):
            findings.error(_where(row, column), f"{row[column]!r} holds one of / + * ? [ ]",
                           "they have a meaning in domain names; write - or _", case_id=row["case_id"])  # fmt: skip


def _check_split(row: Row, splits: dict[str, tuple[str, str]], findings: Findings) -> None:
    split = row["split"]
    if split and split not in SPLITS:
        findings.error(
            _where(row, "split"), f"{split!r}", f"expected {', '.join(SPLITS)} or nothing", case_id=row["case_id"]
        )
        return
    other, where = splits.setdefault(row["patient_id"], (split, row.where))
    if other != split:
        findings.error(_where(row, "split"), f"{split!r}, but {other!r} in {where} for the same patient",
                       "all cases of a patient belong to one side", case_id=row["case_id"])  # fmt: skip


def _distinct(values: LabelValues, findings: Findings) -> list[int]:
    """Values of all label files, where nothing else names the structures."""
    present = frozenset().union(*values.values())
    if len(present) > MAX_STRUCTURES + 1:
        findings.error(
            "labels", f"{len(present)} different values", "are these label maps? name the structures by target_labels"
        )
        return []
    return sorted(present)


def _with_values(case: Case, dataset: DatasetFile, structures: Mapping[str, int]) -> Case:
    values = values_in_domain(dataset, structures, case.info.domain(("center", "sequence")))
    return Case(info=case.info, image=case.image, label=case.label, label_values=values)
