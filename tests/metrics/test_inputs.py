"""Bad input is named, all of it at once; good input scores the same in every form."""

import numpy as np
import pytest

from dgsweep.errors import InputError
from dgsweep.metrics import score_case, score_labels

UNIT_MM = (1.0, 1.0, 1.0)


def pair():
    rng = np.random.default_rng(3)
    return rng.random((7, 8, 9)) < 0.3, rng.random((7, 8, 9)) < 0.3


@pytest.mark.parametrize(
    "spacing_mm", [(1, 1), (1, 1, 0), (1, -1, 1), (1, 1, float("nan")), (1, 1, float("inf")), "abc", None]
)
def test_a_spacing_that_is_no_spacing_is_refused(spacing_mm):
    with pytest.raises(InputError, match="spacing_mm"):
        score_case(*pair(), spacing_mm)


@pytest.mark.parametrize("tau_mm", [-0.1, float("nan"), float("inf"), "wide", [1.0, 2.0]])
def test_a_tolerance_that_is_no_tolerance_is_refused(tau_mm):
    with pytest.raises(InputError, match="tau_mm"):
        score_case(*pair(), UNIT_MM, tau_mm)


@pytest.mark.parametrize("shape", [(4, 4), (1, 4, 4, 4), (4, 0, 4)])
def test_masks_that_are_not_volumes_are_refused(shape):
    with pytest.raises(InputError, match="three axes"):
        score_case(np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool), UNIT_MM)


def test_masks_on_different_grids_are_refused():
    with pytest.raises(InputError, match=r"\(4, 4, 5\)"):
        score_case(np.zeros((4, 4, 4), dtype=bool), np.zeros((4, 4, 5), dtype=bool), UNIT_MM)


@pytest.mark.parametrize(
    "values",
    [
        np.uint8([0, 2]),
        np.int16([-1, 0]),
        np.float32([0.5, 1]),
        np.float64([np.nan, 1]),
        np.array(["a", "b"]),
        np.array([1j, 0]),
    ],
)
def test_a_mask_with_other_values_than_zero_and_one_is_refused(values):
    bad = np.broadcast_to(values, (2, 2, 2))
    with pytest.raises(InputError, match="score_labels"):
        score_case(bad, np.zeros((2, 2, 2), dtype=bool), UNIT_MM)


def test_all_problems_are_reported_at_once():
    with pytest.raises(InputError) as caught:
        score_case(np.full((3, 3, 3), 7), np.zeros((3, 3, 4), dtype=bool), (1, 1), -1.0)
    assert {problem.where for problem in caught.value.problems} == {
        "prediction",
        "prediction, reference",
        "spacing_mm",
        "tau_mm",
    }


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int16, np.int64, np.float32, np.float64])
def test_the_type_of_a_mask_does_not_change_its_scores(dtype):
    pred, ref = pair()
    assert score_case(pred.astype(dtype), ref.astype(dtype), UNIT_MM) == score_case(pred, ref, UNIT_MM)


@pytest.mark.parametrize("order", ["FF", "FC", "CF", "strided"])
def test_the_memory_layout_of_a_mask_does_not_change_its_scores(order):
    pred, ref = pair()
    spacing_mm = (0.7, 1.1, 3.0)
    if order == "strided":
        given = tuple(np.repeat(mask, 2, axis=1)[:, ::2] for mask in (pred, ref))
    else:
        given = np.asarray(pred, order=order[0]), np.asarray(ref, order=order[1])
    expected = score_case(pred, ref, spacing_mm, surfel_nsd=True)
    assert score_case(*given, spacing_mm, surfel_nsd=True) == pytest.approx(expected, rel=1e-12)
    assert score_case(*given, spacing_mm[::-1])["hd95_mm"] != pytest.approx(expected["hd95_mm"])


def test_scoring_changes_no_input():
    pred, ref = (mask.astype(np.uint8) for mask in pair())
    before = pred.copy(), ref.copy()
    score_case(pred, ref, UNIT_MM, surfel_nsd=True)
    np.testing.assert_array_equal(pred, before[0])
    np.testing.assert_array_equal(ref, before[1])


def test_each_structure_of_a_label_map_scores_as_its_own_mask():
    rng = np.random.default_rng(5)
    pred, ref = rng.integers(0, 4, (2, 6, 7, 8))
    scored = score_labels(pred, ref, {"liver": 3, "pancreas": 1}, (1.0, 2.0, 3.0), 1.5)
    assert [one.pop("label") for one in scored] == ["liver", "pancreas"]
    assert scored == [score_case(pred == value, ref == value, (1.0, 2.0, 3.0), 1.5) for value in (3, 1)]
    assert scored[0] != scored[1]


def test_a_structure_absent_from_both_label_maps_is_counted_as_empty():
    (scored,) = score_labels(np.ones((3, 3, 3), int), np.ones((3, 3, 3), int), {"spleen": 9}, UNIT_MM)
    assert (scored["empty_prediction"], scored["empty_reference"], scored["dice"]) == (1.0, 1.0, 1.0)


@pytest.mark.parametrize("value", [0, 1.5, True, "1"])
def test_a_structure_with_a_value_that_no_structure_can_have_is_refused(value):
    with pytest.raises(InputError, match=r"labels\.pancreas"):
        score_labels(np.ones((3, 3, 3), int), np.ones((3, 3, 3), int), {"pancreas": value}, UNIT_MM)


@pytest.mark.parametrize("bad", [0.5, np.nan, np.inf])
def test_a_label_map_with_fractions_is_refused(bad):
    with pytest.raises(InputError, match="whole numbers"):
        score_labels(np.full((3, 3, 3), bad), np.ones((3, 3, 3)), {"pancreas": 1}, UNIT_MM)
