import math

import numpy as np
import pytest
from scipy import stats

from dgsweep.analysis.robustness import generalization_gap, robustness_table
from dgsweep.analysis.statistics import Bootstrap, effect_size, paired_comparison, paired_t
from dgsweep.analysis.tables import ALL_SOURCES, method_table

QUICK = Bootstrap(draws=400)
HOME = {"role": "in_domain", "domain": "C1/T1W", "center": "C1", "sequence": "T1W"}


def people(values, **change):
    return [
        {"patient_id": f"p{i}", "case_id": f"p{i}-{change.get('domain', '')}", "dice": dice, **change}
        for i, dice in enumerate(values)
    ]


def test_worst_shift_and_collapse_rate_are_those_of_the_numbers(rows):
    frame = rows(
        *people([0.8, 0.6], domain="C2/T2W"),
        *people([0.05, 0.15, 0.0, 0.2], domain="C3/T2W"),
    )
    (row,) = robustness_table(frame, bootstrap=QUICK).to_dict("records")
    assert row["worst_shift"] == "C1/T1W → C3/T2W"
    assert row["worst"] == pytest.approx(0.1)
    assert row["mean_over_shifts"] == pytest.approx((0.7 + 0.1) / 2)
    assert row["collapsed"] == pytest.approx(2 / 6)
    assert (row["cases"], row["patients"], row["shifts"]) == (6, 4, 2)


def test_empty_predictions_are_counted_each_training_and_never_where_the_reference_is_empty(rows):
    frame = rows(
        {"patient_id": "a", "case_id": "a", "empty_prediction": True, "dice": 0.0},
        {"patient_id": "a", "case_id": "a", "seed": 1, "trial_id": "t1"},
        {"patient_id": "b", "case_id": "b", "empty_prediction": True, "empty_reference": True, "dice": 1.0},
        {**HOME, "patient_id": "c", "case_id": "c", "empty_prediction": True, "dice": 0.0},
    )
    (row,) = robustness_table(frame, bootstrap=QUICK).to_dict("records")
    assert (row["empty"], row["structures"]) == (1, 2)
    assert row["collapsed"] == 0.5


def test_gap_is_absolute_in_dice_and_relative_to_the_in_domain_mean(rows):
    frame = rows(*people([0.7, 0.9], **HOME), *people([0.1, 0.3], domain="C2/T2W"))
    (row,) = generalization_gap(frame, bootstrap=QUICK).to_dict("records")
    assert row["gap_absolute"] == pytest.approx(0.6)
    assert row["gap_relative"] == pytest.approx(0.75)
    assert row["relative_low"] <= 0.75 <= row["relative_high"]


def test_gap_of_all_source_sets_leaves_out_those_without_an_in_domain_case(rows):
    other = {"sources": "C9/T2W", "trial_id": "t9"}
    third = {"sources": "C3/T1W", "trial_id": "t3"}
    frame = rows(
        *people([0.8, 0.8], **HOME),
        *people([0.2, 0.2], domain="C2/T2W"),
        *people([0.0, 0.0], domain="C2/T1W", **other),
        *people([0.6, 0.6], **{**HOME, **third, "domain": "C3/T1W"}),
        *people([0.4, 0.4], domain="C2/T2W", **third),
    )
    table = generalization_gap(frame, bootstrap=QUICK).set_index("source_set")
    assert list(table.index) == [ALL_SOURCES, "C1/T1W", "C3/T1W"]
    assert table.loc[ALL_SOURCES, "gap_absolute"] == pytest.approx(0.7 - 0.3)


def test_a_method_that_is_zero_at_home_has_no_relative_gap(rows):
    frame = rows(*people([0.0, 0.0], **HOME), *people([0.0, 0.0], domain="C2/T2W"))
    (row,) = generalization_gap(frame, bootstrap=QUICK).to_dict("records")
    assert row["gap_absolute"] == 0.0
    assert math.isnan(row["gap_relative"])


def test_nothing_scored_gives_tables_without_rows(rows):
    assert len(robustness_table(rows())) == len(generalization_gap(rows())) == 0
    assert len(robustness_table(rows({**HOME, "patient_id": "a"}))) == 0


def test_paired_t_and_effect_size_are_those_of_scipy_and_of_the_formula():
    first, second = np.random.default_rng(0).normal([[0.6], [0.5]], 0.1, size=(2, 12))
    differences = first - second
    assert paired_t(differences) == pytest.approx(stats.ttest_rel(first, second).pvalue)
    assert effect_size(differences) == pytest.approx(np.mean(differences) / np.std(differences, ddof=1))
    assert effect_size(differences) != pytest.approx(np.mean(differences) / np.std(differences))


def test_tests_take_each_patient_once():
    differences = [0.1, 0.2, 0.4, 0.3]
    found = paired_comparison(differences * 5, ["a", "b", "c", "d"] * 5, QUICK)
    assert found.p_t == pytest.approx(stats.ttest_1samp(differences, 0).pvalue)
    assert found.p_t > stats.ttest_1samp(differences * 5, 0).pvalue


@pytest.mark.parametrize(("differences", "p"), [([0.0] * 5, 1.0), ([0.1] * 5, math.nan), ([0.1], math.nan)])
def test_without_spread_there_is_no_t_test_and_no_effect_size(differences, p):
    assert paired_t(differences) == pytest.approx(p, nan_ok=True)
    assert math.isnan(effect_size(differences))


def test_t_tests_of_the_shifts_are_holm_corrected_together(rows):
    rng = np.random.default_rng(4)
    base, ours = [], []
    for domain in ("C2/T2W", "C3/T2W"):
        values = rng.normal(0.5, 0.1, size=9)
        shared = {"domain": domain, "sequence": domain}
        base += people(values, **shared)
        ours += people(values + rng.normal(0.05, 0.05, size=9), method="gin", trial_id="g", **shared)
    table = method_table(rows(*base, *ours), by="domain", bootstrap=QUICK)
    gin = table[table["arm"] == "gin"].sort_values("p_t")
    assert gin["p_t_holm"].iloc[0] == pytest.approx(2 * gin["p_t"].iloc[0])
    assert gin["effect_dz"].notna().all()
