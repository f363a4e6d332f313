"""A person's own table of cases or patients, which wins over what file names tell."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pandas as pd

from dgsweep.data.importing.found import Found, FoundCase
from dgsweep.errors import ManifestError, Problem

OWN = ("patient_id", "center", "sequence", "split")
"""Columns that replace what was found; all others are added."""


def with_metadata(found: Found, path: Path | None) -> Found:
    """The cases with the table's columns; ManifestError when it cannot be read or names nobody by an id."""
    if path is None:
        return found
    table = _read(path)
    key = next((name for name in ("case_id", "patient_id") if name in table.columns), None)
    if key is None:
        raise _wrong(path, f"columns {', '.join(table.columns)}", "expected case_id or patient_id among them")
    if twice := sorted(table.loc[table[key].duplicated(), key].unique()):
        raise _wrong(path, f"{twice[0]!r} stands twice in {key}", "one row each")
    rows: dict[str, dict[str, str]] = {}
    for row in table.to_dict("records"):
        rows[str(row[key])] = {str(name): str(text) for name, text in row.items() if name != key and text}
    cases = tuple(_with(case, rows.get(getattr(case, key), {})) for case in found.cases)
    if strange := sorted(set(rows) - {getattr(case, key) for case in found.cases}):
        found.findings.warn(path.name, f"{len(strange)} rows of nobody, first {strange[0]!r}", f"the column is {key}")
    return replace(found, cases=cases)


def _with(case: FoundCase, row: Mapping[str, str]) -> FoundCase:
    return replace(
        case,
        patient_id=row.get("patient_id", case.patient_id),
        center=row.get("center", case.center),
        sequence=row.get("sequence", case.sequence),
        split=row.get("split", case.split),
        columns={**case.columns, **{name: text for name, text in row.items() if name not in OWN}},
    )


def _read(path: Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, sep=None, engine="python", encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError, ValueError) as error:  # pandas' errors are ValueErrors
        raise _wrong(path, f"it cannot be read ({error})", "expected CSV") from error
    return table.apply(lambda column: column.str.strip())


def _wrong(path: Path, found: str, fix: str) -> ManifestError:
    return ManifestError("the metadata cannot be used", [Problem(where=path.name, found=found, fix=fix)])
