"""Scores of folders as tables: a summary with intervals, cases.parquet, cases.csv."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from dgsweep.analysis.statistics import Bootstrap, clustered_mean
from dgsweep.errors import InputError, Problems
from dgsweep.prediction.score import FolderScores
from dgsweep.records.columns import write_case_rows
from dgsweep.storage.files import write_bytes

MEANS = ("dice", "hd95_mm", "assd_mm", "nsd")


def labels_of(pairs: Sequence[str]) -> Mapping[str, int] | None:
    """`pancreas=1` -> {pancreas: 1}; None without any. InputError lists every one that is none."""
    problems, labels = Problems(), dict[str, int]()
    for text in pairs:
        name, _, value = text.partition("=")
        if not name or not value.isdecimal() or int(value) == 0 or name in labels or int(value) in labels.values():
            problems.add("--label", text, "expected NAME=VALUE, each name and each value once, values above 0")
        else:
            labels[name] = int(value)
    problems.raise_if_any(InputError, "these are no labels")
    return labels or None


def summary_rows(scores: FolderScores, bootstrap: Bootstrap | None = None) -> list[dict[str, Any]]:
    """For each domain and structure: cases, patients, the mean of each metric with its interval over patients.

    Distances are penalised means: a missed structure counts with the diagonal of its image.
    """
    rows = []
    for (domain, label), some in scores.cases.groupby(["domain", "label"], sort=True):
        row: dict[str, Any] = {"domain": domain, "label": label, "cases": len(some)}
        row["patients"] = int(some["patient_id"].nunique())
        for metric in MEANS:
            estimate = clustered_mean(some[metric], list(some["patient_id"]), bootstrap or Bootstrap())
            row |= {metric: estimate.mean, f"{metric}_low": estimate.low, f"{metric}_high": estimate.high}
        row |= {name: int(some[name].sum()) for name in ("empty_prediction", "empty_reference")}
        rows.append(row)
    return rows


def shown_rows(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The summary as text: `0.85 [0.80, 0.89]`."""
    kept = ("domain", "label", "cases", "patients", "empty_prediction")
    return [
        {**{name: row[name] for name in kept}, **{metric: _interval(row, metric) for metric in MEANS}} for row in rows
    ]


def write_scores(scores: FolderScores, out: Path) -> None:
    """Write cases.parquet and cases.csv."""
    write_case_rows(out / "cases.parquet", scores.cases)
    filled: pd.DataFrame = scores.cases.loc[:, (scores.cases != "").any()]
    write_bytes(out / "cases.csv", filled.to_csv(index=False).encode())


def _interval(row: Mapping[str, Any], metric: str) -> str:
    digits = 1 if metric.endswith("_mm") else 2
    return f"{row[metric]:.{digits}f} [{row[f'{metric}_low']:.{digits}f}, {row[f'{metric}_high']:.{digits}f}]"
