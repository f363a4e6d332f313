"""Which masks readers judge: the same cases for every method, drawn from every shift, in an order of their own."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from dgsweep.analysis.controls import chosen_cases
from dgsweep.analysis.frames import annotate, with_targets
from dgsweep.analysis.selection import last_step
from dgsweep.errors import InputError, Problem, Problems
from dgsweep.report.evidence import Evidence
from dgsweep.storage.files import exists

KEY = [
    *["item", "arm", "network", "source_set", "target", "role", "domain", "case_id", "patient_id", "trial_id", "dice"],
]
STRATUM = ["source_set", "target"]
METHOD = ["arm", "network"]
EXTREMES = (
    "The sweep did not keep every mask (output_keep is not all), but those of best, median and worst cases at most: "
    "these rates are of such cases and not of all. Run it with output_keep: all for a fair sample."
)


@dataclass(frozen=True, kw_only=True)
class Study:
    """Items to judge, in no telling order. `items` has KEY; `notes` say what the rates do not speak about."""

    items: pd.DataFrame
    notes: tuple[str, ...]


def choose(evidence: Evidence, *, cases: int, methods: Sequence[str], seed: int) -> Study:
    """Draw `cases` (source set, case) evenly from the shifts; each is judged for every method (default: all).

    Where seeds or folds give several masks, the first is taken. Only cases whose mask was kept by every method count.

    Raises:
        InputError: a method is unknown, or no case has a mask of every method.
    """
    rows = _candidates(evidence)
    rows = _of_methods(rows, methods)
    kept = _with_mask(rows, evidence)
    wanted = rows[METHOD].drop_duplicates()
    counts = kept.groupby([*STRATUM, "case_id"], observed=True)["arm"].transform("size")
    complete = kept[counts == len(wanted)]
    if complete.empty:
        problem = Problem(where="trials/<id>/predictions", found="no case whose mask was kept by every method",
                          fix="run the sweep with output_keep: all, or name fewer --methods")  # fmt: skip
        raise InputError("nothing to show to readers", [problem])
    rng = np.random.default_rng([seed, 0])
    drawn = list(_evenly(complete, cases, rng))
    keys = pd.MultiIndex.from_frame(complete[[*STRATUM, "case_id"]])
    items = complete[keys.isin(drawn)]
    items = items.iloc[rng.permutation(len(items))].reset_index(drop=True)
    width = max(3, len(str(len(items))))
    named = items.assign(item=[f"i{number:0{width}d}" for number in range(1, len(items) + 1)])
    return Study(items=named[KEY], notes=tuple(_notes(evidence, rows, complete, cases, len(drawn))))


def reading_order(items: Sequence[str], seed: int, reader: int) -> list[str]:
    """The items as one reader meets them; the same for the same seed, another for each reader."""
    order = np.random.default_rng([seed, 1 + reader]).permutation(len(items))
    return [items[place] for place in order]


def _candidates(evidence: Evidence) -> pd.DataFrame:
    """One row a method, shift and scored case of the main panel: the mask of its first fold and seed."""
    rows = annotate(chosen_cases(evidence.plan, evidence.cases, evidence.curves), evidence.plan)
    rows = last_step(rows[rows["role"].isin(["in_domain", "target"])])
    if rows.empty:
        problem = Problem(where="the sweep", found="no case has been scored", fix="run it first")
        raise InputError("nothing to show to readers", [problem])
    rows = with_targets(rows, evidence.level).sort_values(["fold", "seed", "label"], kind="stable")
    plain = rows.assign(**{name: rows[name].astype(str) for name in (*KEY[1:-1], "label")})
    return plain.drop_duplicates([*METHOD, *STRATUM, "case_id"])


def _of_methods(rows: pd.DataFrame, methods: Sequence[str]) -> pd.DataFrame:
    problems, known = Problems(), sorted(rows["arm"].unique())
    for name in methods:
        if name not in known:
            problems.add("--methods", f"{name!r}", f"the sweep has {', '.join(known)}")
    problems.raise_if_any(InputError, "the form was not written")
    return rows[rows["arm"].isin(methods)] if methods else rows


def _with_mask(rows: pd.DataFrame, evidence: Evidence) -> pd.DataFrame:
    pairs = zip(rows["trial_id"], rows["case_id"], strict=True)
    return rows[evidence.ledger.each(exists, [evidence.ledger.paths(one).prediction(case) for one, case in pairs])]


def _evenly(rows: pd.DataFrame, cases: int, rng: np.random.Generator) -> Iterator[tuple[str, str, str]]:
    """(source set, target, case) in turn from each shift, until there are enough or none is left."""
    strata = [
        [(*map(str, key), case) for case in rng.permutation(sorted(part["case_id"].unique()))]
        for key, part in rows.groupby(STRATUM, sort=True)
    ]
    turns = [stratum[turn] for turn in range(max(map(len, strata))) for stratum in strata if turn < len(stratum)]
    yield from turns[:cases]


def _notes(evidence: Evidence, rows: pd.DataFrame, complete: pd.DataFrame, asked: int, drawn: int) -> Iterator[str]:
    if any(spec.output_keep != "all" for spec in evidence.plan.compared):
        yield EXTREMES
    absent = rows.drop_duplicates(STRATUM).merge(
        complete.drop_duplicates(STRATUM), on=STRATUM, how="left", indicator=True
    )
    names = [f"{row.source_set} → {row.target}" for row in absent[absent["_merge"] == "left_only"].itertuples()]
    if names:
        yield f"No case of these shifts has a mask of every method: {', '.join(names)}."
    if drawn < asked:
        yield f"{drawn} cases have masks of every method; {asked} were asked for."
