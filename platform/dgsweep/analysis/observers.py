"""How well two readings of the same scan agree: a practical ceiling for what a method can reach.

Dice and Cohen's kappa of each case and structure come from four counts of voxels over the whole image. One case is in
memory at a time, and counts that are known by content are not taken again.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from dgsweep.analysis.statistics import Bootstrap, Estimate, clustered_mean
from dgsweep.analysis.tables import DEFAULT
from dgsweep.data.geometry import read_label
from dgsweep.data.manifest import Manifest
from dgsweep.data.nifti import read_header
from dgsweep.data.second_labels import SECOND_LABELS
from dgsweep.errors import CaseError, InputError, Problems
from dgsweep.metrics.kappa import voxel_kappa
from dgsweep.metrics.overlap import Overlap
from dgsweep.plan.trial import content_id

COUNTS = ("both", "first", "second", "voxels")
OBSERVER_CASES = [
    *["observer", "case_id", "patient_id", "center", "sequence", "domain", "label"],
    *["dice", "kappa", "empty_first", "empty_second"],
]
OBSERVER_TABLE = [
    *["observer", "level", "where", "label", "dice", "dice_low", "dice_high", "kappa", "kappa_low", "kappa_high"],
    *["cases", "patients", "empty_first"],
]
"""`level`: all, sequence or domain; `cases` have a first reading that is not empty, `empty_first` are left out."""
_RECIPE = 1
"""Part of the key under which counts are kept: raise it when they mean something else."""


@dataclass(frozen=True, kw_only=True)
class ReadTwice:
    """A case whose structures were drawn twice."""

    case_id: str
    patient_id: str
    center: str
    sequence: str
    observer: str
    """`inter`: another observer drew the second time; `intra`: the same one."""
    first: Path
    second: Path
    values: Mapping[str, int]
    """Structure -> value in both label maps."""
    key: str
    """Name of this pair by content."""


def read_twice(manifest: Manifest) -> list[ReadTwice]:
    """The cases of a manifest with a second reading, once for each."""
    cases = {case.info.case_id: case for case in manifest.cases}
    found = []
    for one in manifest.second_labels:
        case = cases[one.case_id]
        if case.label is not None:
            info, values = case.info, dict(case.label_values)
            key = content_id([_RECIPE, info.label_sha, one.sha, values])
            found.append(
                ReadTwice(
                    case_id=info.case_id, patient_id=info.patient_id, center=info.center, sequence=info.sequence,
                    observer=one.observer, first=case.label, second=one.path, values=values, key=key,
                )
            )  # fmt: skip
    return found


Counts = dict[str, dict[str, int]]
"""Structure -> COUNTS."""


def counted(pairs: Iterable[ReadTwice], known: Mapping[str, Counts]) -> Iterator[tuple[ReadTwice, Counts | str]]:
    """The counts of each pair, from `known` (by key) where they are there; a file that cannot be read says why not."""
    for pair in pairs:
        try:
            yield pair, known[pair.key] if pair.key in known else _count(pair)
        except CaseError as error:
            yield pair, "; ".join(problem.found for problem in error.problems)


def _count(pair: ReadTwice) -> Counts:
    """Voxels of each structure in both readings, in either, and of the whole image."""
    grid, _ = read_header(pair.first)
    first, second = read_label(pair.first, grid), read_label(pair.second, grid)
    counts = {}
    for name, value in pair.values.items():
        own, other = first == value, second == value
        masks = (own & other, own, other)
        numbers = (*(int(np.count_nonzero(mask)) for mask in masks), first.size)
        counts[name] = dict(zip(COUNTS, numbers, strict=True))
    return counts


def agreement_of(manifest: Manifest, *, bootstrap: Bootstrap = DEFAULT) -> dict[str, pd.DataFrame]:
    """`observer_agreement` and `observer_agreement_cases` of a manifest whose files were checked.

    Raises:
        InputError: no case has a second reading, or one cannot be read.
    """
    pairs, problems = read_twice(manifest), Problems()
    found = []
    for pair, counts in counted(pairs, {}):
        if isinstance(counts, str):
            problems.add(f"case {pair.case_id}, {SECOND_LABELS[pair.observer]}", counts, "mend the file")
        else:
            found.append((pair, counts))
    if not pairs:
        columns = " or ".join(SECOND_LABELS.values())
        problems.add(manifest.path.name, "no case has a second reading", f"add a column {columns}")
    problems.raise_if_any(InputError, "the agreement of readers cannot be told")
    cases = observer_cases(found)
    return {"observer_agreement": observer_table(cases, bootstrap=bootstrap), "observer_agreement_cases": cases}


def observer_cases(found: Iterable[tuple[ReadTwice, Counts]]) -> pd.DataFrame:
    """OBSERVER_CASES: Dice and kappa of each case and structure."""
    rows = [
        {
            **{name: getattr(pair, name) for name in ("observer", "case_id", "patient_id", "center", "sequence")},
            "domain": f"{pair.center}/{pair.sequence}",
            "label": name,
            **_agreement(count),
        }
        for pair, counts in found
        for name, count in counts.items()
    ]
    return pd.DataFrame(rows, columns=OBSERVER_CASES)


def _agreement(count: Mapping[str, int]) -> dict[str, object]:
    overlap = Overlap(n_pred=count["second"], n_ref=count["first"], n_both=count["both"])
    return {
        "dice": overlap.dice,
        "kappa": voxel_kappa(overlap, count["voxels"]),
        "empty_first": not count["first"],
        "empty_second": not count["second"],
    }


def observer_table(cases: pd.DataFrame, *, bootstrap: Bootstrap = DEFAULT) -> pd.DataFrame:
    """Mean Dice and kappa with patient-clustered intervals over all, by sequence and by domain: OBSERVER_TABLE.

    Cases whose first reading is empty are left out, as they are where a method is scored.
    """
    levels = {"all": lambda _: "all", "sequence": lambda row: row["sequence"], "domain": lambda row: row["domain"]}
    rows = [
        {"observer": str(key[0]), "level": level, "where": str(key[2]), "label": str(key[1]), **_means(part, bootstrap)}
        for level, where in levels.items()
        for key, part in _by(cases.assign(where=[where(row) for row in cases.to_dict("records")]))
    ]
    return pd.DataFrame(rows, columns=OBSERVER_TABLE)


def _by(cases: pd.DataFrame) -> Iterator[tuple[tuple[object, ...], pd.DataFrame]]:
    yield from cases.groupby(["observer", "label", "where"], sort=True)


def _means(part: pd.DataFrame, bootstrap: Bootstrap) -> dict[str, float]:
    drawn = part[~part["empty_first"].astype(bool)]
    patients: Sequence[str] = list(drawn["patient_id"])
    dice, kappa = (clustered_mean(drawn[name], patients, bootstrap) for name in ("dice", "kappa"))
    return {
        **_named("dice", dice),
        **_named("kappa", kappa),
        "cases": dice.cases,
        "patients": dice.patients,
        "empty_first": len(part) - len(drawn),
    }


def _named(name: str, found: Estimate) -> dict[str, float]:
    numbers = asdict(found)
    return {name: numbers["mean"], f"{name}_low": numbers["low"], f"{name}_high": numbers["high"]}
