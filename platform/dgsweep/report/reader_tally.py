"""Count the answers of an acceptance study and write its tables."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from dgsweep.analysis.acceptance import acceptance_table, agreement_table
from dgsweep.records.atomic import read_json_or_empty
from dgsweep.report.reader_answers import KEY_FILE, read_answers
from dgsweep.storage.files import write_bytes

ONE_READER = "One reader answered, so there is no agreement to tell."


@dataclass(frozen=True, kw_only=True)
class Tally:
    """`acceptance` and `agreement`, and what they do not speak about."""

    tables: dict[str, pd.DataFrame]
    notes: tuple[str, ...]


def write_tally(study: Path, files: Sequence[Path], to: Path) -> Tally:
    """Write `acceptance.csv`, `agreement.csv`, `answers.csv` (unblinded) and `tally.json`; raises as `read_answers`."""
    answers = read_answers(study, files)
    tables = {"acceptance": acceptance_table(answers), "agreement": agreement_table(answers)}
    told = read_json_or_empty((study / KEY_FILE).with_name("study.json"))
    alone = [ONE_READER] if answers["reader"].nunique() == 1 else []
    notes = (*map(str, told.get("notes") or []), *alone)
    for name, table in {**tables, "answers": answers}.items():
        write_bytes(to / f"{name}.csv", table.to_csv(index=False, lineterminator="\n").encode())
    plain = {name: json.loads(table.to_json(orient="records", double_precision=15)) for name, table in tables.items()}
    write_bytes(to / "tally.json", json.dumps({"notes": notes, **plain}, indent=1).encode())
    return Tally(tables=tables, notes=notes)
