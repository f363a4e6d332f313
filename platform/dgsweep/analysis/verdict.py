"""Which method holds on which shift: said only where the intervals support it, and otherwise said to be open."""

from dataclasses import dataclass
from typing import Literal

import pandas as pd

from dgsweep.analysis.frames import Level, annotate, case_values, over_repeats, with_targets
from dgsweep.analysis.statistics import NOTHING, Bootstrap, Estimate, clustered_gap, clustered_mean
from dgsweep.analysis.tables import DEFAULT
from dgsweep.plan.trial import Plan

Word = Literal["holds", "falls", "open", "not judged"]

MARGIN = 0.10
"""Dice that a method may lose on a shift and still be said to hold: our reading, printed wherever it is used."""
FEWEST_PATIENTS = 6
"""Below this a percentile interval is too narrow to rest a sentence on, and no signed-rank p can fall under 0.03."""
LEARNED = 0.50
"""In-domain Dice that the reference must reach for a loss against it to mean anything."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """One method on one shift. `loss` is reference in-domain Dice minus Dice on the target."""

    panel: str
    network: str
    arm: str
    source_set: str
    target: str
    word: Word
    loss: Estimate
    reference: Estimate
    reference_arm: str


def judge(
    cases: pd.DataFrame, plan: Plan | None = None, *, by: Level = "sequence", bootstrap: Bootstrap = DEFAULT
) -> list[Verdict]:
    """One verdict per method and shift (source set, target sequence or domain), from rows of one trial per cell.

    The reference is ERM in-domain on the same sources with the same network, or the method itself without an ERM.
    """
    values = with_targets(case_values(annotate(cases, plan), "dice"), by)
    shifts = values[values["role"] == "target"]
    keys = ["panel", "network", "group", "arm", "source_set", "target"]
    return [_judge_one(values, shift, bootstrap) for _, shift in shifts.groupby(keys, sort=True, observed=True)]


def word_for(loss: Estimate, reference: Estimate) -> Word:
    """The verdict that an interval supports: `holds` when all of it lies within the margin, `falls` when none does."""
    if not reference.cases or reference.mean < LEARNED:
        return "not judged"
    if loss.patients < FEWEST_PATIENTS:
        return "open"
    if loss.high <= MARGIN:
        return "holds"
    return "falls" if loss.low > MARGIN else "open"


def _judge_one(values: pd.DataFrame, shift: pd.DataFrame, bootstrap: Bootstrap) -> Verdict:
    first = shift.iloc[0]
    reference = _reference(values, first)
    target = over_repeats(shift)
    known = over_repeats(reference)
    pair = (known["value"], list(known["patient_id"])), (target["value"], list(target["patient_id"]))
    baseline = clustered_mean(*pair[0], bootstrap) if len(known) else NOTHING
    loss = clustered_gap(*pair, bootstrap)
    return Verdict(
        **{key: str(first[key]) for key in ("panel", "network", "arm", "source_set", "target")},
        word=word_for(loss, baseline),
        loss=loss,
        reference=baseline,
        reference_arm=str(reference["arm"].iloc[0]) if len(reference) else "",
    )


def _reference(values: pd.DataFrame, first: "pd.Series[str]") -> pd.DataFrame:
    """In-domain values of the same sources: the baseline's where it was trained, else the method's own."""
    same = values[
        (values["role"] == "in_domain")
        & (values["group"] == first["group"])
        & (values["source_set"] == first["source_set"])
    ]
    baseline = same[same["baseline"]]
    return baseline if len(baseline) else same[same["arm"] == first["arm"]]
