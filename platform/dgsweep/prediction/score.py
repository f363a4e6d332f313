"""Score two folders of masks, ours or a stranger's, by the definitions of DESIGN 3.6."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dgsweep.data.file_walk import files_below
from dgsweep.data.finding import Findings
from dgsweep.data.geometry import grid_mismatch, read_label
from dgsweep.data.nifti import is_nifti, read_header
from dgsweep.data.structures import read_dataset_file, values_in_domain
from dgsweep.data.table import Row, read_rows
from dgsweep.errors import CaseError, InputError, Problem
from dgsweep.metrics import score_labels
from dgsweep.prediction.scans import stem
from dgsweep.records.columns import CASE_COLUMNS, CASE_SCHEMA

Progress = Callable[[int, int], None]
_SUFFIXES = ("_dseg", "_seg", "_label", "_mask", "_pred")


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A prediction and its reference."""

    case_id: str
    prediction: Path
    reference: Path
    values: Mapping[str, int]
    """Structure -> value in the reference; the prediction has the values of `labels`."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """patient_id, center, sequence where a manifest names them."""


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Voxels of one structure in the prediction, in the reference, in both, and in the whole image."""

    n_pred: int
    n_ref: int
    n_both: int
    n_all: int


@dataclass(frozen=True, kw_only=True)
class FolderScores:
    """Scores of every pair, and what could not be scored."""

    cases: pd.DataFrame
    """CASE_COLUMNS; `method` is the name that was given, what only a sweep knows is empty."""
    structures: Mapping[str, int]
    """Structure -> value in the predictions."""
    counts: tuple[tuple[Pair, Mapping[str, Counts]], ...]
    """Of every pair that was scored, by structure."""
    problems: tuple[Problem, ...]


def score_folders(
    predictions: Path,
    references: Path,
    *,
    labels: Mapping[str, int] | None = None,
    name: str = "",
    tau_mm: float = 2.0,
    progress: Progress | None = None,
) -> FolderScores:
    """Score every reference that has a prediction of the same name; one without is a problem, not a silent gap.

    Args:
        predictions: Folder of masks, in any depth; `_0000`, `_dseg`, `_seg`, `_mask` at the end of names do not count.
        references: Folder of masks, or a manifest, whose `label` column and domains are taken.
        labels: Structure -> value; None takes dataset.yaml beside the manifest, else every value of the references.
        name: Of whoever made the predictions.
        tau_mm: Tolerance of the surface distance.
        progress: Told the number of cases done and of all.

    Raises:
        InputError: no pair at all.
    """
    pairs, problems, structures = _pairs(predictions, references, labels)
    if not pairs:
        fix = "names of predictions and references must agree, apart from endings"
        raise InputError(
            "nothing to score", [*problems[:10], Problem(where=str(predictions), found="no pair", fix=fix)]
        )
    rows: list[dict[str, Any]] = []
    counts = []
    for number, pair in enumerate(pairs, start=1):
        try:
            scores, own = _score(pair, structures, name or predictions.name, tau_mm)
            rows += scores
            counts.append((pair, own))
        except CaseError as error:
            problems += [Problem(where=f"case {pair.case_id}, {Path(one.where).name}", found=one.found, fix=one.fix)
                         for one in error.problems]  # fmt: skip
        if progress is not None:
            progress(number, len(pairs))
    return FolderScores(cases=_frame(rows), structures=structures, counts=tuple(counts), problems=tuple(problems))


def _pairs(
    predictions: Path, references: Path, labels: Mapping[str, int] | None
) -> tuple[list[Pair], list[Problem], dict[str, int]]:
    masks = {case_of(path.name): path for path in _masks(predictions)}
    if references.suffix.lower() in (".csv", ".parquet"):
        wanted, structures = _of_manifest(references, labels)
    else:
        of_folder = {case_of(path.name): path for path in _masks(references)}
        structures = dict(labels or _values_in(of_folder.values()))
        wanted = [
            Pair(case_id=case, prediction=path, reference=path, values=structures) for case, path in of_folder.items()
        ]
    found, problems = [], []
    for pair in wanted:
        if pair.case_id in masks:
            found.append(Pair(case_id=pair.case_id, prediction=masks[pair.case_id], reference=pair.reference,
                              values=pair.values, columns=pair.columns))  # fmt: skip
        else:
            fix = "predict it, or leave its reference out; it is not counted as a failure"
            problems.append(Problem(where=f"case {pair.case_id}", found="no prediction", fix=fix))
    without = sorted(set(masks) - {pair.case_id for pair in wanted})
    problems += [Problem(where=f"case {case}", found="no reference", fix="it is not scored") for case in without]
    return found, problems, structures


def case_of(name: str) -> str:
    """`sub-01_space-orig_desc-x_dseg.nii.gz` and `sub-01_T1w_dseg.nii.gz` stay apart; `c1_seg.nii.gz` is `c1`."""
    case = stem(name)
    for suffix in _SUFFIXES:
        case = case.removesuffix(suffix)
    return case.removesuffix("_desc-dgsweep").removesuffix("_space-orig")


def _masks(folder: Path) -> Iterator[Path]:
    if folder.is_file() and is_nifti(folder):
        yield folder
    for relative, path in files_below(folder) if folder.is_dir() else ():
        probabilities = "probabilities" in Path(relative).parts or path.name.endswith("probseg.nii.gz")
        if is_nifti(path) and not probabilities:
            yield path


def _of_manifest(path: Path, labels: Mapping[str, int] | None) -> tuple[list[Pair], dict[str, int]]:
    """Labelled cases of a manifest; its files may lie anywhere, since they are only read as masks."""
    findings = Findings()
    rows = [row for row in read_rows(path, findings) if row["label"]]
    dataset = read_dataset_file(path.parent, findings)
    if findings.errors:
        raise InputError(f"{path.name} cannot be used", findings.errors)
    files = {row["case_id"]: (path.parent / row["label"]).resolve() for row in rows}
    structures = dict(labels or dataset.labels or _values_in(files.values()))

    def pair(row: Row) -> Pair:
        values = structures if labels else values_in_domain(dataset, structures, f"{row['center']}/{row['sequence']}")
        columns = {column: row[column] for column in ("patient_id", "center", "sequence")}
        file = files[row["case_id"]]
        return Pair(case_id=row["case_id"], prediction=file, reference=file, values=values, columns=columns)

    return [pair(row) for row in rows], structures


def _values_in(references: Sequence[Path] | Any) -> dict[str, int]:
    """Every value of the references is a structure `label_<n>`."""
    values: set[int] = set()
    for path in references:
        try:
            values |= {int(value) for value in np.unique(read_label(path, read_header(path)[0]))}
        except CaseError:
            continue  # it is reported when it is scored
    return {f"label_{value}": value for value in sorted(values - {0})}


def _score(
    pair: Pair, structures: Mapping[str, int], name: str, tau_mm: float
) -> tuple[list[dict[str, Any]], dict[str, Counts]]:
    started = time.monotonic()
    native, own = read_header(pair.reference)[0], read_header(pair.prediction)[0]
    if mismatch := grid_mismatch(native, own):
        problem = Problem(where=str(pair.prediction), found=mismatch.replace("the label", "the prediction", 1),
                          fix="bring it back to the reference's grid")  # fmt: skip
        raise CaseError("not scored", [problem])
    reference, predicted = read_label(pair.reference, native), read_label(pair.prediction, native)
    classes = {label: number for number, label in enumerate(structures, start=1)}
    truth = _classes(reference, {label: pair.values.get(label, structures[label]) for label in structures}, classes)
    guess = _classes(predicted, structures, classes)
    scores = score_labels(guess, truth, classes, native.spacing_mm, tau_mm=tau_mm)
    wall_s = time.monotonic() - started
    counts = {label: _count(guess == number, truth == number) for label, number in classes.items()}
    return [{**_identity(pair, name), **score, "wall_s": wall_s} for score in scores], counts


def _count(predicted: Any, reference: Any) -> Counts:
    n_pred, n_ref, n_both = (int(np.count_nonzero(mask)) for mask in (predicted, reference, predicted & reference))
    return Counts(n_pred=n_pred, n_ref=n_ref, n_both=n_both, n_all=int(predicted.size))


def _classes(array: Any, values: Mapping[str, int], classes: Mapping[str, int]) -> Any:
    result = np.zeros(array.shape, dtype=np.uint8)
    for label, value in values.items():
        result[array == value] = classes[label]
    return result


def _identity(pair: Pair, name: str) -> dict[str, Any]:
    known = {column: pair.columns.get(column, "") for column in ("center", "sequence")}
    domain = f"{known['center']}/{known['sequence']}" if any(known.values()) else ""
    numbers = {"label_ratio": math.nan, "fold": 0, "seed": 0, "trial": 0, "step": 0}
    texts = dict.fromkeys(("trial_id", "variant", "setting", "prompt", "panel", "network", "sources"), "")
    person = pair.columns.get("patient_id", pair.case_id)
    own = {"method": name, "domain": domain, "role": "target", "case_id": pair.case_id, "patient_id": person}
    return {**texts, **numbers, **own, **known}


def _frame(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    frame = pd.DataFrame(list(rows), columns=list(CASE_COLUMNS))
    flags = [one.name for one in CASE_SCHEMA if str(one.type) == "bool"]
    return frame.astype(dict.fromkeys(flags, bool))
