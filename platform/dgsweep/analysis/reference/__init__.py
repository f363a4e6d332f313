"""Numbers that papers have published, with their sources and caveats, shipped as data beside this module."""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files

import pandas as pd

from dgsweep.config.names import name_advice
from dgsweep.errors import InputError, Problem

PAPERS = ("pansegnet", "pancreasdg", "crosspan")
PENDING = "pending"
"""`source` of a number that the paper has and that is not public to us: its value is empty."""
CONTRADICTED = "contradicted"
"""`source` of a number that the paper's own numbers speak against."""
TEXT_COLUMNS = ("table", "method", "trained_on", "target", "role", "metric", "unit", "bound", "source", "note")


@dataclass(frozen=True, kw_only=True)
class PaperTable:
    """One published table. `rows`: TEXT_COLUMNS, `value` and `sd` in the paper's `unit` (NaN where there is none)."""

    name: str
    title: str
    source: str
    caveats: tuple[str, ...]
    rows: pd.DataFrame


@dataclass(frozen=True, kw_only=True)
class Paper:
    """A paper, how it measured, and its tables."""

    name: str
    title: str
    citation: str
    protocol: Mapping[str, str]
    """Aspect (organ, sequence, centers, metrics, splits, budget, tested) -> what the paper did."""
    tables: tuple[PaperTable, ...]

    @cached_property
    def rows(self) -> pd.DataFrame:
        """The rows of all its tables."""
        return pd.concat([table.rows for table in self.tables], ignore_index=True)


def read_paper(name: str) -> Paper:
    """What is shipped of one paper.

    Raises:
        InputError: nothing is shipped of it.
    """
    if name not in PAPERS:
        fix = name_advice(name, PAPERS)
        raise InputError("no such paper", [Problem(where="paper", found=name, fix=fix)])
    folder = files("dgsweep.analysis.reference")
    facts = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    text = (folder / f"{name}.csv").read_text(encoding="utf-8")
    rows = pd.read_csv(io.StringIO(text), dtype=dict.fromkeys(TEXT_COLUMNS, str), keep_default_na=False, na_values={
        "value": [""], "sd": [""],
    })  # fmt: skip
    return Paper(
        name=name,
        title=facts["title"],
        citation=facts["citation"],
        protocol=facts["protocol"],
        tables=tuple(_table(key, about, rows) for key, about in facts["tables"].items()),
    )


def _table(name: str, about: Mapping[str, object], rows: pd.DataFrame) -> PaperTable:
    caveats = about["caveats"]
    return PaperTable(
        name=name,
        title=str(about["title"]),
        source=str(about["source"]),
        caveats=tuple(str(one) for one in caveats) if isinstance(caveats, list) else (),
        rows=rows[rows["table"] == name].reset_index(drop=True),
    )
