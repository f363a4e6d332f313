"""The manifest's rows as text, from CSV or Parquet."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow

from dgsweep.data.finding import Findings
from dgsweep.errors import ManifestError, Problem

REQUIRED = ("case_id", "patient_id", "image", "center", "sequence")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row: every column as stripped text, and where a person finds it."""

    where: str
    values: Mapping[str, str]

    def __getitem__(self, column: str) -> str:
        return self.values.get(column, "")


def read_rows(path: Path, findings: Findings) -> list[Row]:
    """Rows of a manifest; ManifestError when there is no table with the required columns."""
    if not path.is_file():
        raise _unusable(path, "there is no such file", "expected the path of a CSV or Parquet manifest")
    if path.suffix.lower() not in (".csv", ".parquet"):
        raise _unusable(path, f"the name ends with {path.suffix!r}", "expected .csv or .parquet")
    try:
        columns, rows = _parquet(path) if path.suffix.lower() == ".parquet" else _csv(path, findings)
    except (OSError, UnicodeDecodeError, csv.Error, pyarrow.ArrowException, ValueError) as error:
        raise _unusable(path, f"the table cannot be read ({error})", "expected UTF-8 CSV or Parquet") from error
    _check_columns(path, columns)
    if not rows:
        raise _unusable(path, "the manifest holds no case", "add one row a case")
    return rows


def _csv(path: Path, findings: Findings) -> tuple[list[str], list[Row]]:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.reader(stream, strict=True)
        columns = [name.strip() for name in next(reader, [])]
        rows = []
        for cells in reader:
            where = f"{path.name} line {reader.line_num}"
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) > len(columns):
                findings.error(
                    where, f"{len(cells)} fields under {len(columns)} columns", "quote fields that hold a comma"
                )
            padded = [cell.strip() for cell in cells] + [""] * len(columns)
            rows.append(Row(where=where, values=dict(zip(columns, padded, strict=False))))
    return columns, rows


def _parquet(path: Path) -> tuple[list[str], list[Row]]:
    table = pd.read_parquet(path)
    columns = [str(name) for name in table.columns]
    text = [["" if pd.isna(cell) else str(cell).strip() for cell in cells] for cells in table.to_numpy(dtype=object)]
    rows = [
        Row(where=f"{path.name} row {number}", values=dict(zip(columns, cells, strict=True)))
        for number, cells in enumerate(text, start=1)
    ]
    return columns, rows


def _check_columns(path: Path, columns: list[str]) -> None:
    problems = []
    for name in REQUIRED:
        if name not in columns:
            near = next((column for column in columns if column.lower().replace(" ", "_") == name), None)
            fix = f"rename the column {near!r}" if near else f"required are {', '.join(REQUIRED)}, separated by commas"
            problems.append(Problem(where=path.name, found=f"the column {name!r} is missing", fix=fix))
    problems += [
        Problem(where=path.name, found=f"the column {name!r} stands twice", fix="keep one of them")
        for name in sorted({name for name in columns if columns.count(name) > 1})
    ]
    if problems:
        raise ManifestError(f"{path} is no manifest", problems)


def _unusable(path: Path, found: str, fix: str) -> ManifestError:
    return ManifestError("the manifest cannot be read", [Problem(where=str(path), found=found, fix=fix)])
