import math

import numpy as np
import pytest
from scipy import stats

from dgsweep.analysis.statistics import Bootstrap, clustered_gap, clustered_mean, holm, paired_comparison, signed_rank

QUICK = Bootstrap(draws=4000)


def test_interval_of_one_scan_per_patient_agrees_with_scipys_bootstrap():
    values = np.random.default_rng(3).normal(0.7, 0.1, size=40)
    ours = clustered_mean(values, [f"p{i}" for i in range(40)], QUICK)
    level = 1 - 2 * stats.norm.cdf(-np.sqrt(40 / 39) * stats.t.ppf(0.975, 39))
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=4000, method="percentile", confidence_level=level, rng=1
    ).confidence_interval
    assert 0.955 < level < 0.965
    assert ours.mean == pytest.approx(values.mean())
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.003)


def test_copies_of_a_patients_scan_do_not_narrow_the_interval():
    values = np.random.default_rng(3).normal(0.7, 0.1, size=10)
    patients = [f"p{i}" for i in range(10)]
    once = clustered_mean(values, patients, QUICK)
    often = clustered_mean(np.repeat(values, 9), list(np.repeat(patients, 9)), QUICK)
    naive = clustered_mean(np.repeat(values, 9), [str(i) for i in range(90)], QUICK)
    assert (often.low, often.high) == pytest.approx((once.low, once.high))
    assert naive.high - naive.low < 0.5 * (once.high - once.low)


def test_interval_covers_the_true_mean_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(600):
        effects = np.repeat(rng.normal(0, 1, size=12), 3)
        values = effects + rng.normal(0, 0.2, size=36)
        found = clustered_mean(values, list(np.repeat([f"p{i}" for i in range(12)], 3)), Bootstrap(draws=400))
        hits += found.low <= 0.0 <= found.high
    assert 0.92 <= hits / 600 <= 0.98


def test_one_patient_has_a_mean_and_no_interval():
    found = clustered_mean([0.2, 0.4], ["p", "p"], QUICK)
    assert found.mean == pytest.approx(0.3)
    assert (found.patients, found.cases) == (1, 2)
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_values_that_are_not_numbers_are_left_out_and_not_counted():
    found = clustered_mean([0.2, math.nan, 0.4], ["a", "b", "c"], QUICK)
    assert (found.mean, found.patients, found.cases) == (pytest.approx(0.3), 2, 2)
    assert clustered_mean([math.nan], ["a"], QUICK).cases == 0


def test_same_cases_give_the_same_interval_to_the_last_digit():
    arguments = list(np.random.default_rng(0).random(20)), [f"p{i}" for i in range(20)]
    assert clustered_mean(*arguments, QUICK) == clustered_mean(*arguments, QUICK)
    assert clustered_mean(*arguments, QUICK) != clustered_mean(*arguments, Bootstrap(draws=4000, seed=1))


def test_gap_on_the_same_patients_forgets_what_they_share():
    patients = [f"p{i}" for i in range(10)]
    easy = np.linspace(0.1, 0.9, 10)
    shared = clustered_gap((easy + 0.05, patients), (easy, patients), QUICK)
    apart = clustered_gap((easy + 0.05, patients), (easy, [f"q{i}" for i in range(10)]), QUICK)
    assert (shared.mean, shared.low, shared.high) == pytest.approx((0.05, 0.05, 0.05))
    assert apart.high - apart.low > 0.2


def test_signed_rank_of_six_equal_signs_is_two_in_sixty_four():
    assert signed_rank([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]) == pytest.approx(2 / 64)
    assert signed_rank([0.1, 0.2, 0.3, 0.4, 0.5, -0.6]) > 2 / 64


def test_signed_rank_of_no_difference_is_one_and_of_one_pair_undefined():
    assert signed_rank([0.0, 0.0, 1e-15]) == 1.0
    assert math.isnan(signed_rank([0.3]))


def test_paired_p_counts_patients_and_not_scans():
    few = paired_comparison([0.1, 0.2, 0.3] * 10, ["a", "b", "c"] * 10, QUICK)
    assert few.p == pytest.approx(2 / 8)
    assert (few.patients, few.cases) == (3, 30)


def test_holm_agrees_with_the_steps_done_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])


def test_holm_leaves_undefined_tests_out_of_the_family():
    adjusted = holm([0.02, math.nan, 0.03])
    assert adjusted[[0, 2]] == pytest.approx([0.04, 0.04])
    assert math.isnan(adjusted[1])
