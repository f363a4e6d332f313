import math

import numpy as np
import pytest
from scipy import stats

from dgsweep.analysis.shift import sampling_variance, source_and_target, source_target_correlation
from dgsweep.analysis.shift_kinds import kind_of, shift_kinds
from dgsweep.analysis.statistics import Bootstrap

QUICK = Bootstrap(draws=1000)
HOME = {"role": "in_domain", "domain": "C1/T1W", "center": "C1", "sequence": "T1W"}
AWAY = {"role": "target", "domain": "C2/T1W", "center": "C2", "sequence": "T1W"}


def people(values, first=0, **change):
    return [
        {"patient_id": f"p{first + i}", "case_id": f"p{first + i}-{change['domain']}", "dice": dice, **change}
        for i, dice in enumerate(values)
    ]


def one(frame, **options):
    (row,) = sampling_variance(frame, bootstrap=QUICK, **options).to_dict("records")
    return row


def test_band_has_the_width_of_two_means_of_those_sizes(rows):
    """Normal values: SD of the difference of two means is sd * sqrt(1 / n + 1 / m)."""
    home = np.random.default_rng(0).normal(0.7, 0.1, size=200)
    row = one(rows(*people(home, **HOME), *people([0.7] * 10, first=500, **AWAY)))
    expected = 1.96 * home.std(ddof=1) * math.sqrt(1 / 200 + 1 / 10)
    assert row["band_high"] - row["source_mean"] == pytest.approx(expected, rel=0.1)
    assert row["source_mean"] - row["band_low"] == pytest.approx(expected, rel=0.1)
    assert (row["source_patients"], row["target_patients"]) == (200, 10)


@pytest.mark.parametrize(
    ("level", "word"), [(0.70, "within sampling variance"), (0.40, "shift"), (0.95, "better than the source")]
)
def test_only_a_target_below_the_band_is_a_shift(rows, level, word):
    home = np.random.default_rng(1).normal(0.7, 0.1, size=40)
    assert one(rows(*people(home, **HOME), *people([level] * 12, first=99, **AWAY)))["word"] == word


def test_a_small_target_gets_a_wider_band_than_a_large_one(rows):
    home = people(np.random.default_rng(1).normal(0.7, 0.1, size=40), **HOME)
    small = one(rows(*home, *people([0.62] * 6, first=99, **AWAY)))
    large = one(rows(*home, *people([0.62] * 40, first=99, **AWAY)))
    assert (small["word"], large["word"]) == ("within sampling variance", "shift")


def test_without_a_shift_about_one_in_twenty_is_called_a_shift_or_better(rows):
    rng = np.random.default_rng(5)
    said = []
    for _ in range(150):
        frame = rows(*people(rng.normal(0.7, 0.1, 20), **HOME), *people(rng.normal(0.7, 0.1, 12), first=99, **AWAY))
        (row,) = sampling_variance(frame, bootstrap=Bootstrap(draws=200)).to_dict("records")
        said.append(row["word"] != "within sampling variance")
    assert np.mean(said) <= 0.12


def test_scans_of_one_patient_are_drawn_together(rows):
    base = list(np.random.default_rng(2).normal(0.7, 0.1, size=12))
    target = people([0.6] * 8, first=99, **AWAY)
    copies = [{**row, "case_id": f"{row['case_id']}-{k}"} for row in people(base, **HOME) for k in range(6)]
    once, often = one(rows(*people(base, **HOME), *target)), one(rows(*copies, *target))
    assert (often["band_low"], often["band_high"]) == pytest.approx((once["band_low"], once["band_high"]))


@pytest.mark.parametrize(("source", "target"), [(1, 9), (9, 1), (5, 9)])
def test_few_patients_are_said_to_be_too_few(rows, source, target):
    values = np.linspace(0.6, 0.8, 9)
    row = one(rows(*people(values[:source], **HOME), *people(values[:target] - 0.5, first=99, **AWAY)))
    assert row["word"] == "too few patients"


def test_a_source_set_without_in_domain_cases_or_targets_has_no_band(rows):
    assert len(sampling_variance(rows(*people([0.5] * 9, **AWAY)))) == 0
    assert len(sampling_variance(rows(*people([0.5] * 9, **HOME)))) == 0
    assert len(sampling_variance(rows())) == 0


def models(levels, noise=0.0, seed=0):
    """One method per (source, target) level, eight patients each."""
    rng = np.random.default_rng(seed)
    found = []
    for i, (source, target) in enumerate(levels):
        shared = {"method": f"m{i}", "trial_id": f"t{i}"}
        found += people(source + noise * rng.standard_normal(8), **HOME, **shared)
        found += people(target + noise * rng.standard_normal(8), **AWAY, **shared)
    return found


def test_correlation_is_that_of_scipy_over_the_points(rows):
    levels = [(0.9, 0.5), (0.8, 0.7), (0.7, 0.2), (0.6, 0.4), (0.5, 0.1), (0.4, 0.35)]
    frame = rows(*models(levels))
    points = source_and_target(frame)
    found = source_target_correlation(frame, bootstrap=QUICK).set_index("measure")
    x, y = points["source"], points["target"]
    assert (list(x), list(y)) == tuple(pytest.approx(list(side)) for side in zip(*levels, strict=True))
    assert found.loc["pearson", "value"] == pytest.approx(stats.pearsonr(x, y).statistic)
    assert found.loc["spearman", "value"] == pytest.approx(stats.spearmanr(x, y).statistic)
    assert found.loc["pearson", "cells"] == 6


def test_interval_of_a_correlation_tells_a_strong_one_from_none(rows):
    strong = [(0.3 + 0.05 * i, 0.2 + 0.05 * i) for i in range(12)]
    none = [(0.3 + 0.05 * i, 0.4 + 0.2 * ((7 * i) % 12) / 12) for i in range(12)]
    found = [
        source_target_correlation(rows(*models(levels, noise=0.02)), bootstrap=QUICK).set_index("measure")
        for levels in (strong, none)
    ]
    assert found[0].loc["pearson", "low"] > 0.8
    assert found[1].loc["pearson", "low"] < 0 < found[1].loc["pearson", "high"]


def test_few_models_have_no_correlation_and_equal_ones_have_none_either(rows):
    few = source_target_correlation(rows(*models([(0.9, 0.5), (0.8, 0.4)])), bootstrap=QUICK)
    flat = source_target_correlation(rows(*models([(0.9, 0.5)] * 6)), bootstrap=QUICK)
    assert few["value"].isna().all()
    assert flat["value"].isna().all()
    assert len(source_target_correlation(rows())) == 0


def test_target_of_a_point_is_the_mean_of_domain_means(rows):
    frame = rows(
        *people([0.8] * 4, **HOME), *people([0.2] * 6, **AWAY), *people([0.6] * 2, **{**AWAY, "domain": "C3/T1W"})
    )
    assert source_and_target(frame)["target"].tolist() == [pytest.approx(0.4)]


@pytest.mark.parametrize(
    ("sources", "target", "kind"),
    [
        (["C1/T1W"], "C2/T1W", "cross-center"),
        (["C1/T1W"], "C1/T2W", "cross-sequence"),
        (["C1/T1W"], "C2/T2W", "center and sequence"),
        (["C1/T1W", "C2/T1W"], "C2/T2W", "cross-sequence"),
        (["C1/T1W", "C2/T2W"], "C2/T1W", ""),
        ([""], "C2/T1W", ""),  # zero-shot: no source
    ],
)
def test_a_shift_is_named_by_what_no_source_has(sources, target, kind):
    assert kind_of(sources, target, ["center", "sequence"]) == kind
    swapped = ["/".join(reversed(name.split("/"))) for name in [*sources, target]]
    assert kind_of(swapped[:-1], swapped[-1], ["sequence", "center"]) == kind


def test_center_and_sequence_stand_side_by_side_with_drop_and_effect_size(rows):
    home = np.array([0.7, 0.8, 0.9, 0.8])
    frame = rows(
        *people(home, **HOME),
        *people(home - 0.1, first=50, **AWAY),
        *people(home - 0.7, **{**HOME, "role": "target", "domain": "C1/T2W", "sequence": "T2W"}),
    )
    table = shift_kinds(frame, bootstrap=QUICK).set_index("kind")
    assert table["drop"].to_dict() == pytest.approx({"cross-center": 0.1, "cross-sequence": 0.7})
    assert table.loc["cross-sequence", "effect"] == pytest.approx(0.7 / home.std(ddof=1))
    narrow, wide = table.loc["cross-sequence"], table.loc["cross-center"]
    assert narrow["high"] - narrow["low"] < wide["high"] - wide["low"]  # the same patients on both sides


def test_without_in_domain_cases_no_drop_is_named(rows):
    assert len(shift_kinds(rows(*people([0.5] * 4, **AWAY)))) == len(shift_kinds(rows())) == 0
