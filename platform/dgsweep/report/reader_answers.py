"""The filled forms of an acceptance study: read with every problem at once, and unblinded."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from dgsweep.errors import InputError, Problem, Problems

COLUMNS = ("item", "reader", "accept", "comment")
ANSWERS = {"accept": True, "reject": False}
KEY_FILE = Path("key") / "key.csv"


@dataclass(frozen=True, kw_only=True)
class _Row:
    where: str
    item: str
    reader: str
    accept: str
    comment: str


def read_answers(study: Path, files: Sequence[Path]) -> pd.DataFrame:
    """One row an item and reader, with what the key says of the item: item, reader, accept, comment, KEY.

    Raises:
        InputError: with every problem: unknown, missing and doubled items, answers other than accept and reject.
    """
    key = _key(study)
    problems = Problems()
    rows = [row for path in files for row in _rows(path, problems)]
    good = list(_checked(rows, set(key["item"]), problems))
    _check_complete(rows, list(key["item"]), problems)
    problems.raise_if_any(InputError, "the answers of the readers cannot be counted")
    plain = [
        {"item": row.item, "reader": row.reader, "accept": ANSWERS[row.accept], "comment": row.comment} for row in good
    ]
    return pd.DataFrame(plain, columns=list(COLUMNS)).merge(key, on="item")


def _key(study: Path) -> pd.DataFrame:
    path = study / KEY_FILE
    if not path.is_file():
        problem = Problem(where=str(path), found="there is no key", fix="name the folder that `readers form` wrote")
        raise InputError("no study to count", [problem])
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def _rows(path: Path, problems: Problems) -> list[_Row]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            missing = [name for name in COLUMNS[:3] if name not in (reader.fieldnames or [])]
            lines = [] if missing else [(reader.line_num, line) for line in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        problems.add(str(path), f"it cannot be read ({error})", "expected UTF-8 CSV with commas")
        return []
    if missing:
        problems.add(path.name, f"no column {', '.join(missing)}", f"expected {', '.join(COLUMNS)}, with commas")
    return [
        _Row(where=f"{path.name} line {number}", **{name: (line.get(name) or "").strip() for name in COLUMNS})
        for number, line in lines
    ]


def _checked(rows: Iterable[_Row], items: set[str], problems: Problems) -> Iterable[_Row]:
    first: dict[tuple[str, str], str] = {}
    for row in rows:
        answer = row.accept.lower()
        if row.item not in items:
            problems.add(row.where, f"item {row.item!r} is not of this study", "use the form of this study")
        elif not row.reader:
            problems.add(row.where, "no reader is named", "write the reader's name into every row")
        elif (row.item, row.reader) in first:
            where = first[row.item, row.reader]
            problems.add(row.where, f"{row.reader} answered {row.item} in {where} too", "keep one of them")
        elif answer not in ANSWERS:
            found = f"{row.accept!r}" if answer else "no answer"
            problems.add(row.where, f"item {row.item}: {found}", "expected accept or reject")
        else:
            yield _Row(**{**vars(row), "accept": answer})
        first.setdefault((row.item, row.reader), row.where)


def _check_complete(rows: Sequence[_Row], items: Sequence[str], problems: Problems) -> None:
    readers = sorted({row.reader for row in rows} - {""})
    for reader in readers:
        given = {row.item for row in rows if row.reader == reader}
        if missing := [item for item in items if item not in given]:
            shown = ", ".join(missing[:5]) + (" ..." if len(missing) > 5 else "")
            problems.add(f"reader {reader}", f"no row of {len(missing)} of {len(items)} items: {shown}",
                         "every reader answers every item")  # fmt: skip
    if not readers and not problems:
        problems.add("the files", "no answer is in them", "give the files that the forms saved")
