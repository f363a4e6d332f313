"""Volumes, their agreement, and the table of what each score is."""

import math

import numpy as np
import pytest

from dgsweep.errors import InputError
from dgsweep.metrics import (
    METRIC_NAMES,
    metric_spec,
    score_case,
    volume_agreement,
    volume_error,
    volume_ml,
)


def test_a_thousand_cubic_millimetres_are_one_millilitre():
    assert volume_ml(100, (1.0, 2.0, 5.0)) == pytest.approx(1.0)


def test_volumes_of_a_case_follow_its_spacing():
    pred, ref = np.zeros((2, 10, 10, 10), dtype=bool)
    pred[:5], ref[:4] = True, True
    scores = score_case(pred, ref, (1.0, 2.0, 3.0))
    assert (scores["volume_ml"], scores["volume_ref_ml"]) == pytest.approx((3.0, 2.4))
    assert scores["volume_error"] == pytest.approx(0.25)


def test_volume_error_is_signed_and_has_no_value_without_a_reference():
    assert (volume_error(5.0, 4.0), volume_error(3.0, 4.0)) == (0.25, -0.25)
    assert math.isnan(volume_error(3.0, 0.0))


def test_agreement_equals_the_values_worked_out_by_hand():
    found = volume_agreement([2.0, 4.0, 9.0, float("nan")], [1.0, 5.0, 6.0, 7.0])
    # Differences 1, -1, 3: mean 1, SD 2. Variances by n: 26/3 and 14/3; covariance 16/3; Lin: (32/3) / (40/3 + 1).
    assert (found.n, found.n_dropped) == (3, 1)
    assert (found.bias, found.sd) == pytest.approx((1.0, 2.0))
    assert found.limits == pytest.approx((1.0 - 3.92, 1.0 + 3.92))
    assert found.concordance == pytest.approx(32 / 43)


def test_concordance_falls_with_a_bias_that_correlation_would_not_see():
    reference = np.array([1.0, 2.0, 3.0, 4.0])
    assert volume_agreement(reference, reference).concordance == pytest.approx(1.0)
    assert volume_agreement(reference + 2.0, reference).concordance < 0.5


@pytest.mark.parametrize(("first", "second"), [([1.0], [1.0]), ([1.0, 2.0], [1.0]), ([1.0, math.nan], [1.0, 2.0])])
def test_agreement_of_too_few_or_unpaired_volumes_is_refused(first, second):
    with pytest.raises(InputError, match="agreement"):
        volume_agreement(first, second)


def test_every_score_has_a_spec_and_every_spec_a_score():
    mask = np.ones((2, 2, 2), dtype=bool)
    assert sorted(score_case(mask, mask, (1, 1, 1))) == sorted(METRIC_NAMES)
    assert set(score_case(mask, mask, (1, 1, 1), surfel_nsd=True)) == {*METRIC_NAMES, "nsd_surfel"}


def test_every_score_is_a_plain_float():
    mask = np.ones((2, 2, 2), dtype=bool)
    assert {type(value) for value in score_case(mask, mask, (1, 1, 1), surfel_nsd=True).values()} == {float}


def test_the_direction_of_a_score_is_that_of_a_better_prediction():
    ref = np.zeros((12, 12, 12), dtype=bool)
    ref[2:8, 2:8, 2:8] = True
    good, bad = (score_case(np.roll(ref, by, axis=0), ref, (1, 1, 1), 0.5, surfel_nsd=True) for by in (1, 3))
    directions = {name: metric_spec(name).higher_is_better for name in good}
    for name, higher_is_better in directions.items():
        if higher_is_better is not None:
            assert (good[name] > bad[name]) == higher_is_better, name
    assert {"dice": True, "hd95_mm": False, "volume_ml": None}.items() <= directions.items()
