"""Ranks of methods over target domains, with an interval over patients, and Friedman's and Nemenyi's tests."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from scipy import stats

from dgsweep.analysis.frames import annotate, case_values, with_targets
from dgsweep.analysis.statistics import Bootstrap, Floats, interval_of, mean_of_known, resampled_means
from dgsweep.analysis.tables import DEFAULT
from dgsweep.plan.trial import Plan

RANKS = ["panel", "network", "group", "arm", "rank", "low", "high", "mean", "shifts", "ranked_shifts", "patients"]
"""`rank`: mean over `ranked_shifts`, 1 is best; NaN where a method stands in fewer than half of the shifts."""
GROUP = ["panel", "network", "group"]
BLOCK = ["source_set", "target"]
MOST_SHIFTS_TOO_FEW = 10
"""The test's approximation wants more blocks than this: J. Demsar, J. Mach. Learn. Res. 2006;7:1-30, section 3.2.2."""
Reach = Literal["enough", "too few shifts", "too few methods"]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Whether methods of one panel and network differ in rank, and by how much two must differ to be told apart."""

    panel: str
    network: str
    group: str
    methods: tuple[str, ...]
    """From the best mean rank to the worst."""
    ranks: tuple[float, ...]
    shifts: int
    reach: Reach
    """`enough`, or why neither p nor critical difference is given."""
    p: float
    """Of Friedman's test."""
    critical: float
    """Nemenyi's critical difference of mean ranks."""
    alike: tuple[tuple[str, ...], ...]
    """Largest sets of methods whose mean ranks differ by at most `critical`."""


def rank_table(cases: pd.DataFrame, plan: Plan | None = None, *, bootstrap: Bootstrap = DEFAULT) -> pd.DataFrame:
    """Mean rank of each method over shifts (source set, target domain) by Dice, with a patient-clustered interval.

    Methods are ranked among those of their panel, network and share of labels, on cases that all of them scored. In
    each draw whole patients are drawn, every mean Dice is taken anew and ranked anew; equal means share their rank.
    """
    values = _target_values(cases, plan)
    rows = [
        {**dict(zip(GROUP, key, strict=True)), **row}
        for key, part in values.groupby(GROUP, sort=True, observed=True)
        for row in _ranks_of(part, bootstrap)
    ]
    return pd.DataFrame(rows, columns=RANKS)


def rank_differences(
    cases: pd.DataFrame, plan: Plan | None = None, *, confidence: float = DEFAULT.confidence
) -> list[Difference]:
    """Friedman's test and Nemenyi's critical difference for each panel, network and share of labels.

    A block is a shift (source set, target domain). Blocks that share a model or patients are not independent, so the
    test is the field's habit (Demsar 2006) and the weaker evidence beside the bootstrap interval of the ranks.
    """
    values = _target_values(cases, plan)
    return [
        _difference_of(dict(zip(GROUP, map(str, key), strict=True)), part, confidence)
        for key, part in values.groupby(GROUP, sort=True, observed=True)
    ]


def critical_difference(methods: int, blocks: int, confidence: float) -> float:
    """Nemenyi's critical difference of mean ranks, q * sqrt(k (k + 1) / (6 N)).

    q is the quantile of the studentized range for k groups and infinite degrees of freedom, over sqrt(2) (Demsar 2006).
    """
    q = float(stats.studentized_range.ppf(confidence, methods, np.inf)) / math.sqrt(2.0)
    return q * math.sqrt(methods * (methods + 1) / (6.0 * blocks))


def friedman_p(means: Floats) -> float:
    """P value of Friedman's test (J. Am. Stat. Assoc. 1937;32:675-701) on means (blocks, methods); 1 when all tie."""
    if (means == means[:, :1]).all():
        return 1.0
    return float(stats.friedmanchisquare(*means.T).pvalue)


def _target_values(cases: pd.DataFrame, plan: Plan | None) -> pd.DataFrame:
    """One value per arm, shift and case; `group` is kept so that shares of labels are not ranked against each other."""
    values = with_targets(case_values(annotate(cases, plan), "dice"), "domain")
    keys = [*GROUP, "arm", *BLOCK, "patient_id", "case_id"]
    return values[values["role"] == "target"].groupby(keys, observed=True)["value"].mean().reset_index()


def _common(part: pd.DataFrame) -> tuple[pd.DataFrame, "pd.Series[int]"]:
    """Rows of shifts and cases that every ranked method has, and how many shifts each method has."""
    shifts = part.drop_duplicates(["arm", *BLOCK]).groupby("arm", observed=True).size()
    every = len(part.drop_duplicates(BLOCK))
    ranked = shifts[shifts * 2 >= every].index
    part = part[part["arm"].isin(ranked)]
    counts = part.groupby([*BLOCK, "case_id"], observed=True)["arm"].transform("nunique")
    return part[counts == len(ranked)], shifts


def _ranks_of(part: pd.DataFrame, bootstrap: Bootstrap) -> list[dict[str, object]]:
    common, shifts = _common(part)
    arms = sorted(common["arm"].unique())
    codes, patients = pd.factorize(common["patient_id"])
    blocks = [block for _, block in common.assign(code=codes).groupby(BLOCK, observed=True)]
    found: dict[str, dict[str, object]] = {}
    if blocks:
        means = np.array([[block.loc[block["arm"] == arm, "value"].mean() for arm in arms] for block in blocks])
        drawn = _drawn_ranks(blocks, arms, len(patients), bootstrap)
        ranks = stats.rankdata(-_rounded(means), axis=1).mean(axis=0)
        for i, arm in enumerate(arms):
            low, high = interval_of(drawn[:, i], len(patients), bootstrap)
            found[arm] = {"rank": float(ranks[i]), "low": low, "high": high, "mean": float(means[:, i].mean())}
    nothing = {"rank": math.nan, "low": math.nan, "high": math.nan, "mean": math.nan}
    shared = {"patients": len(patients)}
    rows = [
        {
            "arm": str(arm),
            "shifts": int(count),
            "ranked_shifts": len(blocks) if arm in found else 0,
            **shared,
            **found.get(str(arm), nothing),
        }
        for arm, count in shifts.items()
    ]
    return sorted(rows, key=lambda row: (math.isnan(float(str(row["rank"]))), row["rank"], row["arm"]))


def _drawn_ranks(blocks: list[pd.DataFrame], arms: list[str], patients: int, bootstrap: Bootstrap) -> Floats:
    """Mean rank of each arm in each draw, (draws, arms); a block without a drawn patient is left out of that draw."""
    ranks = []
    for block in blocks:
        own = [block[block["arm"] == arm] for arm in arms]
        means = [
            resampled_means(part["value"].to_numpy(dtype=np.float64), part["code"].to_numpy(), patients, bootstrap)
            for part in own
        ]
        ranks.append(stats.rankdata(-_rounded(np.stack(means, axis=1)), axis=1, nan_policy="propagate"))
    return mean_of_known(np.stack(ranks, axis=0))


def _rounded(means: Floats) -> Floats:
    """Means that are equal on paper must tie, whatever the order in which they were summed."""
    return np.round(means, 12)


def _difference_of(named: dict[str, str], part: pd.DataFrame, confidence: float) -> Difference:
    common, _ = _common(part)
    table = common.pivot_table(index=BLOCK, columns="arm", values="value", aggfunc="mean", observed=True)
    means = _rounded(table.to_numpy(dtype=np.float64))
    ranks = stats.rankdata(-means, axis=1).mean(axis=0) if len(means) else np.empty(0)
    order = np.argsort(ranks, kind="stable")
    arms, ordered = tuple(str(table.columns[i]) for i in order), tuple(float(ranks[i]) for i in order)
    reach = _reach(len(means), len(arms))
    critical = critical_difference(len(arms), len(means), confidence) if reach == "enough" else math.nan
    return Difference(
        **named,
        methods=arms,
        ranks=ordered,
        shifts=len(means),
        reach=reach,
        p=friedman_p(means) if reach == "enough" else math.nan,
        critical=critical,
        alike=_alike(arms, ordered, critical),
    )


def _reach(blocks: int, methods: int) -> Reach:
    if methods < 3:
        return "too few methods"
    return "enough" if blocks > MOST_SHIFTS_TOO_FEW else "too few shifts"


def _alike(arms: tuple[str, ...], ranks: tuple[float, ...], critical: float) -> tuple[tuple[str, ...], ...]:
    """Largest runs of ordered methods whose first and last rank differ by at most the critical difference."""
    runs: list[tuple[int, int]] = []
    for start in range(len(arms)):
        end = max((i for i in range(start, len(arms)) if ranks[i] - ranks[start] <= critical), default=start)
        if end > start and (not runs or end > runs[-1][1]):
            runs.append((start, end))
    return tuple(arms[start : end + 1] for start, end in runs)
