"""Second readings of a sweep's scans: read once, kept by content, and drawn as lines beside what methods reach."""

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from dgsweep.analysis.observers import OBSERVER_CASES, Counts, ReadTwice, counted, observer_cases, observer_table
from dgsweep.analysis.statistics import Bootstrap
from dgsweep.records.atomic import read_json_or_empty, write_json
from dgsweep.report.blocks import Section, numbers_of, present, table, with_interval, words_of
from dgsweep.report.texts import count, listed, number
from dgsweep.storage.files import UNANSWERED
from dgsweep.storage.place import AnyPath

COUNTS_FILE = "observer_agreement.json"
MEANING = {"inter": "two observers", "intra": "one observer, twice"}
_DASH = {"inter": "dash", "intra": "dot"}
_NAMED = {"inter": "dashed", "intra": "dotted"}
_LINE = "#777777"
NOTES = (
    "Two readings of the same scan, compared as a prediction is with a reference. What readers agree on is a practical "
    "ceiling: a method that agrees better with the first reading than a second reader does has learnt that reader's "
    "habits. Second readings take no part in training, choice or scores.",
    "Inter: another observer drew the second time. Intra: the same observer did. Cohen's kappa is taken over the "
    "voxels of the whole image, and a smaller region gives a smaller kappa: compare values over the same one. "
    "Cases whose first reading is empty are left out. All scans with a second reading count, training scans too.",
)


@dataclass(frozen=True, kw_only=True)
class Observers:
    """What readers agree on. `cases` has OBSERVER_CASES; `problems` are second readings that could not be used."""

    cases: pd.DataFrame
    problems: tuple[str, ...] = ()
    asked: int = 0
    """Second readings that the manifest named."""

    def mean_dice(self, domains: frozenset[tuple[str, str]] | None = None) -> dict[str, float]:
        """Observer -> mean over cases of the Dice (mean over structures), of all or of (center, sequence) in a set."""
        rows = self.cases[~self.cases["empty_first"].astype(bool)]
        if domains is not None:
            here = [pair in domains for pair in zip(rows["center"], rows["sequence"], strict=True)]
            rows = rows[here]
        means = rows.groupby(["observer", "case_id"])["dice"].mean().groupby("observer").mean()
        return {str(name): float(mean) for name, mean in means.items()}


NOBODY = Observers(cases=pd.DataFrame(columns=OBSERVER_CASES))


def read_observers(output: AnyPath, files: Mapping[str, Mapping[str, Any]]) -> Observers:
    """Agreement of every case of `cases.json` that was read twice; volumes are read only where no count is kept."""
    pairs = [pair for case_id, entry in files.items() for pair in _pairs(case_id, entry)]
    if not pairs:
        return NOBODY
    kept: dict[str, Counts] = read_json_or_empty(output / COUNTS_FILE)
    good: list[tuple[ReadTwice, Counts]] = []
    problems = []
    for pair, found in counted(pairs, kept):
        if isinstance(found, str):
            problems.append(f"{pair.case_id} ({pair.observer}): {found}")
        else:
            good.append((pair, found))
    counts = {pair.key: found for pair, found in good}
    if set(counts) - set(kept):
        with suppress(*UNANSWERED):  # an output that may not be written costs time at the next report, and nothing else
            write_json(output / COUNTS_FILE, {**kept, **counts})
    return Observers(cases=observer_cases(good), problems=tuple(problems), asked=len(pairs))


def _pairs(case_id: str, entry: Mapping[str, Any]) -> list[ReadTwice]:
    return [
        ReadTwice(
            case_id=case_id, patient_id=str(one["patient_id"]), center=str(one["center"]),
            sequence=str(one["sequence"]), observer=str(observer), first=Path(str(entry["label"])),
            second=Path(str(one["label"])), values=dict(entry["label_values"]), key=str(one["key"]),
        )
        for observer, one in (entry.get("second_labels") or {}).items()
    ]  # fmt: skip


def observer_tables(observers: Observers, bootstrap: Bootstrap) -> dict[str, pd.DataFrame]:
    """CSV name -> table; nothing where no scan was read twice."""
    if not observers.asked:
        return {}
    found = observer_table(observers.cases, bootstrap=bootstrap)
    return {"observer_agreement": found, "observer_agreement_cases": observers.cases}


def observer_sections(tables: Mapping[str, pd.DataFrame], observers: Observers) -> list[Section]:
    """The section, where any scan was read twice."""
    if "observer_agreement" not in tables:
        return []
    found = tables["observer_agreement"]
    missing = observers.problems
    warning = f"{count(len(missing), 'second reading')} of {observers.asked} not read: {listed(list(missing), 3)}."
    agreement = table(
        "Agreement of readers",
        {
            "Observers": [f"{name}: {MEANING[name]}" for name in words_of(found, "observer")],
            "Scans": ["all" if row.level == "all" else f"{row.where}" for row in found.itertuples()],
            "Structure": words_of(found, "label"),
            "Dice": with_interval(found, ("dice", "dice_low", "dice_high")),
            "Cohen's kappa": with_interval(found, ("kappa", "kappa_low", "kappa_high")),
            "Patients / cases": [f"{row.patients} / {row.cases}" for row in found.itertuples()],
            "Empty, left out": numbers_of(found, "empty_first", 0),
        },
        text=("Scans", "Structure"),
    )
    return [
        Section(
            key="observers",
            title="Observer agreement",
            notes=(*([warning] if missing else []), *NOTES),
            tables=present(agreement),
            nothing=warning if missing else "No second reading could be used.",
        )
    ]


def across(figure: go.Figure, observers: Observers, *, upright: bool = False) -> None:
    """Draw each mean of all scans as a line through a figure whose y axis (`upright`: x axis) is Dice."""
    add = figure.add_vline if upright else figure.add_hline
    for name, mean in observers.mean_dice().items():
        look = {"line_dash": _DASH[name], "line_color": _LINE, "line_width": 1.5}
        add(mean, **look, annotation_text=_said(name, mean), annotation_font_size=11)


def over_columns(
    figure: go.Figure, observers: Observers, columns: Sequence[tuple[str, frozenset[tuple[str, str]]]]
) -> None:
    """Draw the readers' mean over each column of a categorical x axis, on the column's own (center, sequence)."""
    if observers.cases.empty:
        return
    figure.update_xaxes(categoryorder="array", categoryarray=[name for name, _ in columns])
    for place, (_, domains) in enumerate(columns):
        for name, mean in observers.mean_dice(domains).items():
            if math.isfinite(mean):
                line = {"dash": _DASH[name], "color": _LINE, "width": 1.5}
                figure.add_shape(type="line", x0=place - 0.46, x1=place + 0.46, y0=mean, y1=mean, line=line)
                figure.add_annotation(
                    x=place + 0.46, y=mean, text=_said(name, mean), showarrow=False, font={"size": 11},
                    xanchor="right", yanchor="bottom",
                )  # fmt: skip


def said(observers: Observers) -> str:
    """A sentence for the description of a figure with the lines; '' without any."""
    kinds = [f"{_NAMED[name]} {name}" for name in observers.mean_dice()]
    return f" Grey lines: Dice of two readings of the same scans ({', '.join(kinds)})." if kinds else ""


def _said(name: str, mean: float) -> str:
    return f"readers, {name}: {number(mean, 2)}"
