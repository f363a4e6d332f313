"""The sweep file that follows a paper's protocol on somebody's own copy of the data."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template

from dgsweep.config.names import name_advice, nearest_name
from dgsweep.data.finding import Findings
from dgsweep.data.structures import read_dataset_file
from dgsweep.data.table import Row, read_rows
from dgsweep.errors import InputError, ManifestError, Problem, Problems

ORGAN = "pancreas"


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What a paper's protocol needs of a manifest."""

    sources: tuple[str, ...] = ()
    """Domains `center/sequence` that it trains on."""
    targets: tuple[str, ...] = ()
    """Further domains that it tests on."""
    sequences: tuple[str, ...] = ()
    """Sequences that must occur, in any center."""
    domains: int = 1
    """Least number of domains with labels."""
    centers: int = 1
    """Least number of centers with labels."""
    folds: int = 1


PAPERS = {
    "crosspan": Bench(sequences=("T1W", "T2W", "OOP"), domains=3, centers=2),
    "pancreasdg": Bench(sources=("MCF/T1W", "NYU/T1W"), targets=("EMC/T1W", "NU/T1W", "IU/T1W", "EMC/OOP", "NU/OOP")),
    "pansegnet": Bench(
        sources=("NYU/T1W", "MCF/T1W", "NYU/T2W", "MCF/T2W"),
        targets=("NU/T1W", "AHN/T1W", "MCA/T1W", "NU/T2W", "AHN/T2W", "MCA/T2W"),
        folds=5,
    ),
    "dual_ssl": Bench(domains=2),
}


def bench_sweep(paper: str, manifest: Path) -> str:
    """Text of the sweep.yaml: the paper's protocol, with a comment on every value that is not ours to choose.

    Raises:
        InputError: no such paper.
        ManifestError: the table cannot be read, or lacks what the protocol needs; everything that is missing at once.
    """
    if paper not in PAPERS:
        raise InputError("no such paper", [Problem(where="paper", found=paper, fix=name_advice(paper, PAPERS))])
    findings = Findings()
    rows = read_rows(manifest, findings)
    named = read_dataset_file(manifest.parent, findings).labels
    problems = Problems()
    problems.extend(findings.errors)
    problems.extend(_missing(PAPERS[paper], rows))
    if named and ORGAN not in named:
        problems.add("dataset.yaml", f"labels names {', '.join(named)}", f"name the {ORGAN} there")
    problems.raise_if_any(ManifestError, f"{manifest.name} lacks what the protocol of {paper} needs")
    template = files("dgsweep.data.bench").joinpath(f"{paper}.yaml").read_text(encoding="utf-8")
    return Template(template).substitute(manifest=json.dumps(str(manifest)), labels=f"[{ORGAN}]" if named else "[1]")


def _missing(bench: Bench, rows: Sequence[Row]) -> Iterator[Problem]:
    labelled = [row for row in rows if row["label"]]
    found = sorted({_domain(row) for row in labelled})
    bare = {_domain(row) for row in rows} - set(found)
    for wanted in (*bench.sources, *bench.targets):
        if wanted not in found:
            yield _no_domain(wanted, found, bare)
    for sequence in bench.sequences:
        if sequence not in {row["sequence"] for row in labelled}:
            have = ", ".join(sorted({row["sequence"] for row in rows}))
            yield Problem(where="sequence", found=f"no labelled case of {sequence}", fix=f"the manifest has {have}")
    centers = {row["center"] for row in labelled}
    if len(centers) < bench.centers:
        yield Problem(
            where="center", found=f"{len(centers)} with labels", fix=f"the protocol has {bench.centers} or more"
        )
    if len(found) < bench.domains:
        yield Problem(
            where="domains", found=f"{len(found)} with labels", fix=f"the protocol has {bench.domains} or more"
        )
    yield from _folds(bench, labelled, rows)


def _folds(bench: Bench, labelled: Sequence[Row], rows: Sequence[Row]) -> Iterator[Problem]:
    if bench.folds == 1:
        return
    patients = {row["patient_id"] for row in labelled if not bench.sources or _domain(row) in bench.sources}
    if patients and len(patients) < bench.folds:
        found = f"{len(patients)} labelled patients in the sources"
        yield Problem(where="patient_id", found=found, fix=f"{bench.folds} folds need as many patients")
    if any(row["split"] for row in rows):
        fix = f"the protocol divides the sources into {bench.folds} folds: leave the column out"
        yield Problem(where="split", found="the manifest has an official split", fix=fix)


def _no_domain(wanted: str, found: Sequence[str], bare: set[str]) -> Problem:
    if wanted in bare:
        return Problem(where="label", found=f"no case of {wanted} has a label", fix="add labels")
    near = nearest_name(wanted, found)
    same = near is not None and near.casefold() == wanted.casefold()
    fix = f"rename {near}" if same else "add its cases (center and sequence as the paper names them)"
    return Problem(where="center/sequence", found=f"no case of {wanted}", fix=fix)


def _domain(row: Row) -> str:
    return f"{row['center']}/{row['sequence']}"
