"""A reader's acceptance study: how often each method's masks are accepted, and how well the readers agree."""

import math
from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats

from dgsweep.analysis.statistics import Bootstrap, Floats, clustered_mean, interval_of, patient_weights
from dgsweep.analysis.tables import DEFAULT
from dgsweep.metrics.kappa import cohen_kappa, fleiss_kappa

METHOD = ["arm", "network"]
SHIFT = ["source_set", "target"]
ALL = "all"
MEAN, EVERY = "mean of readers", "every reader"
ACCEPTANCE = [
    *[*METHOD, *SHIFT, "reader", "accepted", "items", "rate", "wilson_low", "wilson_high", "low", "high", "patients"],
]
"""`low`, `high`: bootstrap interval over patients. Wilson's interval takes items as independent, so it is too narrow
where a patient stands in several; the mean of readers has none, since answers to one item are not independent.
`every reader`: items that all of them accept."""
AGREEMENT = [
    *["arm", "readers", "measure", "value", "low", "high", "percent", "percent_low", "percent_high", "items"],
    "patients",
]
"""`percent`: share of items (0 to 1) on which the readers say the same."""


def acceptance_table(answers: pd.DataFrame, *, bootstrap: Bootstrap = DEFAULT) -> pd.DataFrame:
    """Acceptance rate of each method, over all and by shift, by reader, as their mean, and by every reader: ACCEPTANCE.

    `answers` has one row an item and reader: item, reader, accept (bool), arm, network, source_set, target, patient_id.
    """
    pooled = answers.assign(**dict.fromkeys(SHIFT, ALL))
    parts = [
        (dict(zip([*METHOD, *SHIFT], map(str, key), strict=True)), part)
        for table in (pooled, answers)
        for key, part in table.groupby([*METHOD, *SHIFT], sort=True)
    ]
    rows = [{**named, **row} for named, part in parts for row in _rates(part, bootstrap)]
    return pd.DataFrame(rows, columns=ACCEPTANCE)


def agreement_table(answers: pd.DataFrame, *, bootstrap: Bootstrap = DEFAULT) -> pd.DataFrame:
    """Agreement of the readers over all items and by method: Cohen's kappa of each two, Fleiss' of more: AGREEMENT."""
    groups = [(ALL, answers), *((str(arm), part) for arm, part in answers.groupby("arm", sort=True))]
    rows = [{"arm": arm, **row} for arm, part in groups for row in _agreements(part, bootstrap)]
    return pd.DataFrame(rows, columns=AGREEMENT)


def _rates(part: pd.DataFrame, bootstrap: Bootstrap) -> Iterator[dict[str, object]]:
    given = part.groupby(["item", "patient_id"])["accept"].agg(["mean", "min"]).astype(float).reset_index()
    for reader, own in part.groupby("reader", sort=True):
        yield _rate(str(reader), own["accept"].astype(float), list(own["patient_id"]), bootstrap)
    if part["reader"].nunique() > 1:
        patients = list(given["patient_id"])
        yield _rate(EVERY, given["min"], patients, bootstrap)
        mean = _rate(MEAN, given["mean"], patients, bootstrap)
        yield mean | dict.fromkeys(("accepted", "wilson_low", "wilson_high"), math.nan)


def _rate(
    reader: str, accepted: "pd.Series[float]", patients: Sequence[str], bootstrap: Bootstrap
) -> dict[str, object]:
    found = clustered_mean(accepted, patients, bootstrap)
    low, high = wilson(round(float(accepted.sum())), len(accepted), bootstrap.confidence)
    return {
        "reader": reader,
        "accepted": float(accepted.sum()),
        "items": len(accepted),
        "rate": found.mean,
        "wilson_low": low,
        "wilson_high": high,
        "low": found.low,
        "high": found.high,
        "patients": found.patients,
    }


def wilson(successes: int, trials: int, confidence: float) -> tuple[float, float]:
    """Wilson's score interval of a proportion (J. Am. Stat. Assoc. 1927;22:209-212)."""
    found = stats.binomtest(successes, trials).proportion_ci(confidence_level=confidence, method="wilson")
    return float(found.low), float(found.high)


def _agreements(part: pd.DataFrame, bootstrap: Bootstrap) -> Iterator[dict[str, object]]:
    wide = part.pivot_table(index=["item", "patient_id"], columns="reader", values="accept", aggfunc="first")
    answers = wide.to_numpy(dtype=np.float64)
    codes, people = pd.factorize(wide.index.get_level_values("patient_id"))
    readers = [str(name) for name in wide.columns]
    shared = {"items": len(wide), "patients": len(people)}
    for first, second in combinations(range(len(readers)), 2):
        pair = answers[:, [first, second]]
        yield {"readers": f"{readers[first]}, {readers[second]}", **shared, **_cohen(pair, codes, bootstrap)}
    if len(readers) > 2:
        yield {"readers": f"all {len(readers)}", **shared, **_fleiss(answers, codes, bootstrap)}


def _drawn(columns: Floats, codes: np.ndarray, bootstrap: Bootstrap) -> Floats:
    """Sum of each column (items, n) in each draw of whole patients, (draws, n)."""
    people = int(codes.max()) + 1
    sums = np.stack([np.bincount(codes, weights=column, minlength=people) for column in columns.T], axis=1)
    drawn: Floats = patient_weights(people, bootstrap.draws, bootstrap.seed) @ sums
    return drawn


def _cohen(pair: Floats, codes: np.ndarray, bootstrap: Bootstrap) -> dict[str, object]:
    a, b = pair.T
    cells = np.stack([a * b, a * (1 - b), (1 - a) * b, (1 - a) * (1 - b)], axis=1)
    drawn = _drawn(cells, codes, bootstrap)
    total = drawn.sum(axis=1)
    observed = (drawn[:, 0] + drawn[:, 3]) / total
    yes = (drawn[:, 0] + drawn[:, 1]) * (drawn[:, 0] + drawn[:, 2])
    no = (drawn[:, 2] + drawn[:, 3]) * (drawn[:, 1] + drawn[:, 3])
    point = cohen_kappa(cells.sum(axis=0).reshape(2, 2))
    kappas = _beyond(observed, (yes + no) / total**2)
    return _row("Cohen's kappa", point, kappas, observed, float((a == b).mean()), codes, bootstrap)


def _fleiss(answers: Floats, codes: np.ndarray, bootstrap: Bootstrap) -> dict[str, object]:
    readers = answers.shape[1]
    yes = answers.sum(axis=1)
    same = (yes * (yes - 1) + (readers - yes) * (readers - yes - 1)) / (readers * (readers - 1))
    alike = (yes % readers == 0).astype(np.float64)
    drawn = _drawn(np.stack([np.ones_like(yes), yes, same, alike], axis=1), codes, bootstrap)
    share = drawn[:, 1] / (drawn[:, 0] * readers)
    kappas = _beyond(drawn[:, 2] / drawn[:, 0], share**2 + (1 - share) ** 2)
    point = fleiss_kappa(np.stack([yes, readers - yes], axis=1))
    return _row("Fleiss' kappa", point, kappas, drawn[:, 3] / drawn[:, 0], float(alike.mean()), codes, bootstrap)


def _beyond(observed: Floats, expected: Floats) -> Floats:
    """(p_o - p_e) / (1 - p_e); NaN where only one answer was drawn."""
    left = 1.0 - expected
    return np.divide(observed - expected, left, out=np.full(left.shape, np.nan), where=left > 1e-12)


def _row(
    measure: str, value: float, kappas: Floats, shares: Floats, percent: float, codes: np.ndarray, bootstrap: Bootstrap
) -> dict[str, object]:
    people = int(codes.max()) + 1
    low, high = interval_of(kappas, people, bootstrap)
    least, most = interval_of(shares, people, bootstrap)
    return {
        **{"measure": measure, "value": value, "low": low, "high": high},
        **{"percent": percent, "percent_low": least, "percent_high": most},
    }
