"""Write what an importer found: manifest.csv, dataset.yaml, and the volumes that a manifest cannot name as they are."""

import csv
import io
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from dgsweep.data.finding import Findings
from dgsweep.data.importing.found import Found, FoundCase
from dgsweep.data.importing.pseudonyms import Pseudonyms
from dgsweep.data.importing.voxels import Voxels
from dgsweep.data.table import REQUIRED
from dgsweep.data.volume_file import save_volume
from dgsweep.errors import CaseError, InputError, Problem
from dgsweep.storage.files import write_bytes

Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class Written:
    """What an import left behind."""

    manifest: Path
    cases: int
    copied: int
    """Volumes that were written."""
    domains: tuple[Mapping[str, str | int], ...]
    """For each center/sequence: patients, cases, labelled cases."""
    outside: bool
    """Whether the manifest names files outside its folder, which `data.allow_outside` must permit."""
    findings: Findings


def write_import(
    found: Found,
    out: Path,
    *,
    copy: bool = False,
    pseudonyms: Pseudonyms | None = None,
    progress: Progress | None = None,
) -> Written:
    """Write the manifest; the volumes of a case that cannot be read leave a finding and the case out.

    Args:
        found: Of `find_cases`.
        out: Folder of the manifest, made if needed.
        copy: Write every volume below `out`, without header text; without, only what is no plain NIfTI is written.
        pseudonyms: Ids instead of the ones found, which implies `copy`.
        progress: Told the number of cases done and of all.

    Raises:
        InputError: `out` holds a manifest already.
    """
    manifest = out / "manifest.csv"
    if manifest.exists():
        problem = Problem(where=str(manifest), found="it exists", fix="name another folder, or remove it")
        raise InputError("an import does not overwrite a manifest", [problem])
    out.mkdir(parents=True, exist_ok=True)
    cases = pseudonyms.rename(found.cases) if pseudonyms else list(found.cases)
    hidden = pseudonyms is not None
    writer = _Writer(out, copy or hidden, found.findings, hidden)
    rows = []
    for number, case in enumerate(cases, start=1):
        if (row := writer.row(case)) is not None:
            rows.append(row)
        if progress is not None:
            progress(number, len(cases))
    if pseudonyms:
        pseudonyms.save()
    write_bytes(out / "dataset.yaml", _dataset_yaml(found, hidden).encode())
    write_bytes(manifest, _csv(rows).encode())
    outside = any(row[name].startswith("..") for row in rows for name in ("image", "label"))
    return Written(
        manifest=manifest, cases=len(rows), copied=writer.copied, domains=_domains(rows), outside=outside,
        findings=found.findings,
    )  # fmt: skip


def _domains(rows: Sequence[Mapping[str, str]]) -> tuple[Mapping[str, str | int], ...]:
    of: dict[str, list[Mapping[str, str]]] = {}
    for row in rows:
        of.setdefault(f"{row['center']}/{row['sequence']}", []).append(row)
    return tuple(
        {"domain": domain, "patients": len({row["patient_id"] for row in some}), "cases": len(some),
         "labelled": sum(1 for row in some if row["label"])}
        for domain, some in sorted(of.items())
    )  # fmt: skip


class _Writer:
    """Makes a row of a case, writing its volumes where that is needed."""

    def __init__(self, out: Path, copy: bool, findings: Findings, hidden: bool) -> None:
        self._out, self._copy, self._findings, self._hidden = out, copy, findings, hidden
        self.copied = 0

    def row(self, case: FoundCase) -> dict[str, str] | None:
        try:
            image = self._place(case.image, f"images/{case.case_id}.nii.gz")
            label = "" if case.label is None else self._place(case.label, f"labels/{case.case_id}.nii.gz")
        except CaseError as error:
            for problem in error.problems:
                where = f"case {case.case_id}" if self._hidden else f"case {case.case_id}, {Path(problem.where).name}"
                self._findings.error(where, problem.found, problem.fix, case_id=case.case_id)
            return None
        own = {"case_id": case.case_id, "patient_id": case.patient_id, "center": case.center, "sequence": case.sequence}
        return {**own, "image": image, "label": label, "split": case.split, **({} if self._hidden else case.columns)}

    def _place(self, voxels: Voxels, name: str) -> str:
        """Path for the manifest."""
        if voxels.is_plain and not self._copy:
            return Path(os.path.relpath(voxels.path, self._out.resolve())).as_posix()
        content = voxels.read()
        target = self._out / name
        target.parent.mkdir(exist_ok=True)
        save_volume(target, content.array, content.affine)
        self.copied += 1
        return name


def _csv(rows: Sequence[dict[str, str]]) -> str:
    first = [*REQUIRED, "label", "split"]
    further = sorted({name for row in rows for name in row} - set(first))
    text = io.StringIO()
    writer = csv.DictWriter(text, [*first, *further], restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _dataset_yaml(found: Found, hidden: bool) -> str:
    content = {"name": "" if hidden else found.name, "licence": found.licence, "citation": found.citation}
    kept = {key: text for key, text in content.items() if text}
    if found.labels:
        kept["labels"] = json.loads(json.dumps({"background": 0, **found.labels}))
    return yaml.safe_dump(kept, sort_keys=False, allow_unicode=True)
