"""Ids that tell nothing, from a key file that is kept apart from the data."""

import csv
import io
import os
import secrets
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dgsweep.data.importing.found import FoundCase
from dgsweep.errors import InputError, Problem
from dgsweep.storage.files import write_bytes

_COLUMNS = ("patient_id", "pseudonym")


class Pseudonyms:
    """Patient -> random id. The key file holds the pairs; a second import with it gives the same ids."""

    def __init__(self, key: Path, out: Path) -> None:
        """Read the key file if there is one; InputError when it is none, or would lie beside the data."""
        if key.resolve().is_relative_to(out.resolve()):
            problem = Problem(where=str(key), found="it lies in the data's folder", fix="keep the key elsewhere")
            raise InputError("a key beside the data hides nothing", [problem])
        self._key = key
        self._of: dict[str, str] = _read(key)

    def of(self, patient_id: str) -> str:
        """The patient's id, drawn when it is met first."""
        while patient_id not in self._of:
            drawn = f"p{secrets.randbelow(10**8):08d}"
            if drawn not in self._of.values():
                self._of[patient_id] = drawn
        return self._of[patient_id]

    def rename(self, cases: Sequence[FoundCase]) -> list[FoundCase]:
        """Cases under ids made of the pseudonym, the sequence and a number where both repeat."""
        seen: dict[str, int] = {}
        renamed = []
        for case in cases:
            person = self.of(case.patient_id)
            stem = f"{person}_{case.sequence}"
            seen[stem] = seen.get(stem, 0) + 1
            case_id = stem if seen[stem] == 1 else f"{stem}_{seen[stem]}"
            renamed.append(replace(case, case_id=case_id, patient_id=person, columns={}))
        return renamed

    def save(self) -> None:
        """Write the key file, readable by its owner only."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(_COLUMNS)
        writer.writerows(sorted(self._of.items()))
        self._key.parent.mkdir(parents=True, exist_ok=True)
        before = os.umask(0o077)
        try:
            write_bytes(self._key, text.getvalue().encode())
        finally:
            os.umask(before)
        self._key.chmod(0o600)


def _read(key: Path) -> dict[str, str]:
    if not key.exists():
        return {}
    try:
        with key.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.reader(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise _wrong(key, f"it cannot be read ({error})") from error
    if not rows or tuple(rows[0]) != _COLUMNS or any(len(row) != 2 for row in rows):
        raise _wrong(key, "no columns patient_id and pseudonym")
    return dict(rows[1:])


def _wrong(key: Path, found: str) -> InputError:
    return InputError("the key file cannot be used", [Problem(where=str(key), found=found, fix="name a new file")])
