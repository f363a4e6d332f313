"""Scans to predict: the cases of a manifest, the images of a folder, or one file."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dgsweep.data.file_walk import files_below
from dgsweep.data.finding import Findings
from dgsweep.data.nifti import is_nifti
from dgsweep.data.table import read_rows
from dgsweep.errors import InputError, Problem, Problems

_SHARD = re.compile(r"(\d+)/(\d+)")


@dataclass(frozen=True, kw_only=True)
class Scan:
    """One image, and what its mask is called."""

    case_id: str
    path: Path
    labelled_name: str
    """File name of the image, from which BIDS names follow."""


def scans_of(source: Path, *, allow_outside: bool = False) -> list[Scan]:
    """Scans in a fixed order; InputError, with everything that is wrong, when there is none or a name stands twice."""
    if source.suffix.lower() in (".csv", ".parquet"):
        found = _of_manifest(source, allow_outside)
    elif source.is_dir():
        found = [_scan(path) for _, path in files_below(source) if is_nifti(path)]
    else:
        found = [_scan(source)] if source.is_file() and is_nifti(source) else []
    if not found:
        problem = Problem(
            where=str(source), found="no NIfTI image", fix="a manifest, a folder of .nii.gz, or one of them"
        )
        raise InputError("nothing to predict", [problem])
    _require_distinct(found)
    return found


def shard(scans: Sequence[Scan], part: str) -> list[Scan]:
    """Every n-th scan of `k/n`, k from 0; '' is all of them. InputError when it is none."""
    if not part:
        return list(scans)
    match = _SHARD.fullmatch(part)
    if match is None or not int(match[1]) < int(match[2]):
        raise InputError("no such part", [Problem(where="--part", found=part, fix="for example 0/8 to 7/8")])
    return list(scans[int(match[1]) :: int(match[2])])


def stem(name: str) -> str:
    """Case of a file name: without its ending, and without the channel that nnU-Net adds to images."""
    return name.split(".nii", maxsplit=1)[0].removesuffix("_0000")


def _scan(path: Path) -> Scan:
    return Scan(case_id=stem(path.name), path=path, labelled_name=path.name)


def _of_manifest(source: Path, allow_outside: bool) -> list[Scan]:
    findings, problems, found = Findings(), Problems(), []
    root = source.parent.resolve()
    for row in read_rows(source, findings):
        path = (root / row["image"]).resolve()
        if not path.is_file() or not is_nifti(path):
            problems.add(f"{row.where}, case {row['case_id']}", f"{row['image']!r}: no NIfTI file", "correct the path")
        elif not allow_outside and not path.is_relative_to(root):
            problems.add(
                f"{row.where}, case {row['case_id']}", f"{row['image']!r} leaves the folder", "--allow-outside"
            )
        else:
            found.append(Scan(case_id=row["case_id"], path=path, labelled_name=path.name))
    problems.extend(findings.errors)
    problems.raise_if_any(InputError, f"{source.name} cannot be predicted")
    return found


def _require_distinct(scans: Sequence[Scan]) -> None:
    problems, seen = Problems(), dict[str, Scan]()
    for scan in scans:
        if scan.case_id in seen:
            found = f"{scan.case_id!r} is {seen[scan.case_id].path.name} too"
            problems.add(scan.path.name, found, "masks would overwrite each other; rename one")
        seen.setdefault(scan.case_id, scan)
    problems.raise_if_any(InputError, "two scans have one name")
