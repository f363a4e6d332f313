"""What an empty mask scores: nothing is dropped, nothing looks better than it is."""

import math

import numpy as np
import pytest

from dgsweep.metrics import score_case

SPACING_MM = (1.0, 2.0, 3.0)
# A 6 x 4 x 4 image of 1 x 2 x 3 mm voxels measures 6 x 8 x 12 mm: its diagonal is sqrt(36 + 64 + 144) mm.
DIAGONAL_MM = math.sqrt(244.0)
DISTANCES = ("hd95_mm", "hd95_pooled_mm", "assd_mm")


@pytest.fixture
def empty():
    return np.zeros((6, 4, 4), dtype=bool)


@pytest.fixture
def some(empty):
    mask = empty.copy()
    mask[1:3, 1:3, 1:3] = True
    return mask


def test_a_missed_structure_scores_zero_overlap_and_the_diagonal_of_the_image(empty, some):
    scores = score_case(empty, some, SPACING_MM, surfel_nsd=True)
    assert [scores[key] for key in ("dice", "jaccard", "recall", "nsd", "nsd_surfel")] == [0.0] * 5
    assert [scores[key] for key in DISTANCES] == pytest.approx([DIAGONAL_MM] * 3)
    assert math.isnan(scores["precision"])
    assert scores["volume_error"] == -1.0
    assert (scores["empty_prediction"], scores["empty_reference"], scores["distance_penalised"]) == (1.0, 0.0, 1.0)


def test_a_prediction_where_nothing_is_scores_zero_overlap_and_the_diagonal_of_the_image(empty, some):
    scores = score_case(some, empty, SPACING_MM, surfel_nsd=True)
    assert [scores[key] for key in ("dice", "jaccard", "precision", "nsd", "nsd_surfel")] == [0.0] * 5
    assert [scores[key] for key in DISTANCES] == pytest.approx([DIAGONAL_MM] * 3)
    assert math.isnan(scores["recall"])
    assert math.isnan(scores["volume_error"])
    assert (scores["empty_prediction"], scores["empty_reference"], scores["distance_penalised"]) == (0.0, 1.0, 1.0)


def test_rightly_predicting_nothing_is_a_perfect_score(empty):
    scores = score_case(empty, empty, SPACING_MM, surfel_nsd=True)
    assert [scores[key] for key in ("dice", "jaccard", "nsd", "nsd_surfel")] == [1.0] * 4
    assert [scores[key] for key in DISTANCES] == [0.0] * 3
    assert all(math.isnan(scores[key]) for key in ("precision", "recall", "volume_error"))
    assert (scores["empty_prediction"], scores["empty_reference"], scores["distance_penalised"]) == (1.0, 1.0, 0.0)


def test_two_masks_that_hold_something_are_never_penalised(some):
    scores = score_case(some, some, SPACING_MM, surfel_nsd=True)
    assert (scores["empty_prediction"], scores["empty_reference"], scores["distance_penalised"]) == (0.0, 0.0, 0.0)
    assert all(math.isfinite(value) for value in scores.values())


def test_the_penalty_is_at_least_every_distance_that_the_image_can_hold(empty):
    pred, ref = empty.copy(), empty.copy()
    pred[0, 0, 0], ref[-1, -1, -1] = True, True
    assert score_case(pred, ref, SPACING_MM)["hd95_mm"] < score_case(empty, ref, SPACING_MM)["hd95_mm"]
