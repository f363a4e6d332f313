"""Write an acceptance study: one blinded form a reader that works without a network, and the key apart from them."""

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from dgsweep.errors import CaseError, InputError, Problem, Problems
from dgsweep.plan.trial import content_id
from dgsweep.report.evidence import Evidence, read_evidence
from dgsweep.report.overlays import volumes_of
from dgsweep.report.reader_answers import COLUMNS, KEY_FILE
from dgsweep.report.reader_pictures import Tile, tiles
from dgsweep.report.reader_study import Study, choose, reading_order
from dgsweep.storage.files import write_bytes
from dgsweep.storage.place import AnyPath


@dataclass(frozen=True, kw_only=True)
class Item:
    """One mask to judge, as a reader sees it. `empty`: the method found nothing."""

    name: str
    tiles: tuple[Tile, ...]
    empty: bool


@dataclass(frozen=True, kw_only=True)
class WrittenStudy:
    """What lies where."""

    forms: tuple[Path, ...]
    key: Path
    items: int
    notes: tuple[str, ...]


def write_study(
    output: AnyPath, to: Path, *, readers: Sequence[str], cases: int, methods: Sequence[str] = (), seed: int = 0
) -> WrittenStudy:
    """Write `forms/<reader>.html` and `.csv` for each reader, and `key/key.csv`, which names the methods.

    Raises:
        InputError: the folder holds a study, readers' names cannot be used, or there is nothing to show.
    """
    _check(to, readers, cases)
    evidence = read_evidence(output)
    study = choose(evidence, cases=cases, methods=methods, seed=seed)
    drawn = _items(study, evidence)
    key = to / KEY_FILE
    told = {"sweep": evidence.plan.sweep, "plan": evidence.plan.plan_id, "seed": seed, "notes": list(study.notes)}
    write_bytes(key.with_name("study.json"), json.dumps(told, indent=1).encode())
    forms = []
    for place, reader in enumerate(readers):
        order = [drawn[name] for name in reading_order(list(study.items["item"]), seed, place)]
        form = to / "forms" / f"{reader}.html"
        write_bytes(form, _form(reader, order, study).encode())
        write_bytes(form.with_suffix(".csv"), _blank(reader, order).encode())
        forms.append(form)
    write_bytes(
        key, study.items.to_csv(index=False, lineterminator="\n").encode()
    )  # last: without it there is no study
    return WrittenStudy(forms=tuple(forms), key=key, items=len(study.items), notes=study.notes)


def _check(to: Path, readers: Sequence[str], cases: int) -> None:
    problems = Problems()
    if (to / KEY_FILE).exists():
        problems.add(str(to), "there is a study", "name another folder: its forms may be filled already")
    if len(set(readers)) < 2 or len(set(readers)) < len(readers):
        problems.add("--reader", f"{', '.join(readers) or 'none'}", "expected two readers or more, each named once")
    for name in readers:
        if not name.replace("_", "").replace("-", "").isalnum():
            problems.add("--reader", f"{name!r} cannot name a file", "expected letters, digits, _ and -")
    if cases < 1:
        problems.add("--cases", f"{cases}", "expected 1 or more")
    problems.raise_if_any(InputError, "the form was not written")


def _items(study: Study, evidence: Evidence) -> Mapping[str, Item]:
    """Item -> its pictures; one volume at a time. InputError with every scan that cannot be drawn."""
    problems, found = Problems(), {}
    for row in study.items.itertuples():
        try:
            volumes = volumes_of(str(row.trial_id), str(row.case_id), evidence)
        except (OSError, ValueError, CaseError) as error:
            problems.add(f"case {row.case_id}", f"{error}", "put the scans back where the sweep found them")
            continue
        empty = not np.any(volumes.prediction)
        found[str(row.item)] = Item(name=str(row.item), tiles=tuple(tiles(volumes)), empty=empty)
    problems.raise_if_any(InputError, "the form was not written")
    if not found:
        raise InputError("the form was not written", [Problem(where="the study", found="no item", fix="ask for cases")])
    return found


def _form(reader: str, items: Sequence[Item], study: Study) -> str:
    environment = Environment(
        loader=PackageLoader("dgsweep.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    told = {"reader": reader, "study": content_id([reader, *study.items["item"], *study.items["trial_id"]])}
    return environment.get_template("reader_form.html.j2").render(
        reader=reader, items=[asdict(item) for item in items], told=json.dumps(told).replace("<", "\\u003c")
    )


def _blank(reader: str, items: Sequence[Item]) -> str:
    """The form as a table, for those who would rather fill that."""
    rows = pd.DataFrame({"item": [item.name for item in items], "reader": reader, "accept": "", "comment": ""})
    stream = io.StringIO()
    rows[list(COLUMNS)].to_csv(stream, index=False, lineterminator="\n")
    return stream.getvalue()
