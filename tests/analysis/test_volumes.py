import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from dgsweep.analysis.statistics import Bootstrap
from dgsweep.analysis.volumes import volume_error_bounds, volume_table
from dgsweep.metrics import score_case

QUICK = Bootstrap(draws=400)


def volumes(rows, predicted, reference, **change):
    return rows(*[
        {
            "patient_id": f"p{i}", "case_id": f"p{i}", "volume_ml": p, "volume_ref_ml": r,
            "volume_error": (p - r) / r, "dice": 2 * min(p, r) / (p + r), **change,
        }
        for i, (p, r) in enumerate(zip(predicted, reference, strict=True))
    ])  # fmt: skip


def test_bounds_hold_for_random_masks():
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(60):
        first = rng.random((9, 8, 7)) < rng.random()
        second = (first & (rng.random(first.shape) < rng.random())) | (rng.random(first.shape) < 0.5 * rng.random())
        if not second.any():
            continue
        score = score_case(first.astype(np.uint8), second.astype(np.uint8), spacing_mm=(1.0, 1.0, 2.0))
        low, high = volume_error_bounds(score["dice"])
        assert low - 1e-9 <= score["volume_error"] <= high + 1e-9
        seen.add(np.sign(score["volume_error"]))
    assert seen >= {-1.0, 1.0}


@pytest.mark.parametrize(("inside", "around"), [(30, 100), (100, 100), (1, 100)])
def test_bounds_are_reached_when_one_mask_holds_the_other(inside, around):
    dice = 2 * inside / (inside + around)
    low, high = volume_error_bounds(dice)
    assert low == pytest.approx(inside / around - 1)
    assert high == pytest.approx(around / inside - 1)


def test_no_overlap_leaves_the_volume_open():
    low, high = volume_error_bounds([0.0, 1.0])
    assert (low.tolist(), high.tolist()) == ([-1.0, 0.0], [math.inf, 0.0])


def test_the_mean_of_the_bounds_bounds_the_mean_error_and_the_bound_of_the_mean_dice_does_not():
    """Dice 1 and 0.5, errors 0 and 2: mean error 1, and 2 / 0.75 - 2 is only 0.667."""
    _, high = volume_error_bounds([1.0, 0.5])
    assert np.mean([0.0, 2.0]) <= high.mean()
    assert np.mean([0.0, 2.0]) > volume_error_bounds(0.75)[1]


def test_regression_is_that_of_scipy_and_bland_altman_that_of_its_formula(rows):
    rng = np.random.default_rng(1)
    reference = rng.uniform(20, 90, 25)
    predicted = 0.9 * reference + 3 + rng.normal(0, 4, 25)
    (row,) = volume_table(volumes(rows, predicted, reference), bootstrap=QUICK).to_dict("records")
    line = stats.linregress(reference, predicted)
    difference = predicted - reference
    assert (row["slope"], row["intercept_ml"]) == pytest.approx((line.slope, line.intercept))
    assert row["r2"] == pytest.approx(line.rvalue**2)
    assert row["r2_low"] < row["r2"] < row["r2_high"]
    assert row["bias_ml"] == pytest.approx(difference.mean())
    spread = 1.96 * difference.std(ddof=1)
    assert (row["limit_low"], row["limit_high"]) == pytest.approx(
        (difference.mean() - spread, difference.mean() + spread)
    )
    assert row["beyond_bounds"] == 0
    assert row["absolute_error"] == pytest.approx(np.mean(np.abs(difference) / reference))


def test_a_dice_and_volumes_that_cannot_belong_together_are_counted(rows):
    frame = volumes(rows, [10.0, 30.0, 50.0], [20.0, 30.0, 40.0]).assign(dice=[0.9, 1.0, 0.8])
    assert volume_table(frame, bootstrap=QUICK)["beyond_bounds"].tolist() == [1]


def test_structures_are_measured_apart(rows):
    head = volumes(rows, [10.0, 11.0, 12.5], [10.0, 11.0, 12.0], label="head")
    tail = volumes(rows, [30.0, 10.0, 20.0], [10.0, 20.0, 30.0], label="tail")
    table = volume_table(pd.concat([head, tail], ignore_index=True), bootstrap=QUICK).set_index("label")
    assert table.loc["head", "r2"] > 0.9 > table.loc["tail", "r2"]


def test_few_cases_or_no_spread_have_no_line_and_empty_references_do_not_count(rows):
    one = volume_table(volumes(rows, [10.0], [12.0]), bootstrap=QUICK)
    assert one["r2"].isna().all()
    assert one["limit_low"].isna().all()
    assert one["bias_ml"].tolist() == [-2.0]
    flat = volume_table(volumes(rows, [10.0, 12.0, 11.0], [12.0] * 3), bootstrap=QUICK)
    assert flat["r2"].isna().all()
    empty = volumes(rows, [10.0], [12.0]).assign(empty_reference=True)
    assert len(volume_table(empty)) == len(volume_table(rows())) == 0
