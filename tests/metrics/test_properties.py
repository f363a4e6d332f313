"""What must hold for any pair of masks, whatever the definitions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dgsweep.metrics import score_case, surface

SYMMETRIC = ("dice", "jaccard", "hd95_mm", "hd95_pooled_mm", "assd_mm", "nsd", "nsd_surfel")
SPACING_MM = (0.8, 1.5, 3.0)
QUICK = settings(max_examples=30, deadline=None, derandomize=True)


@st.composite
def pairs(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    shape = tuple(draw(st.integers(2, 9)) for _ in range(3))
    return tuple(rng.random(shape) < draw(st.sampled_from([0.0, 0.1, 0.5, 0.95])) for _ in range(2))


@QUICK
@given(pairs())
def test_swapping_the_masks_changes_no_symmetric_score(case):
    there = score_case(*case, SPACING_MM, surfel_nsd=True)
    back = score_case(*case[::-1], SPACING_MM, surfel_nsd=True)
    assert {key: there[key] for key in SYMMETRIC} == pytest.approx({key: back[key] for key in SYMMETRIC})
    assert there["precision"] == pytest.approx(back["recall"], nan_ok=True)


@QUICK
@given(pairs(), st.permutations([0, 1, 2]), st.sampled_from([0, 1, 2]))
def test_turning_and_mirroring_the_image_changes_no_score(case, axes, mirrored):
    turned = tuple(np.flip(mask.transpose(axes), mirrored) for mask in case)
    spacing_mm = tuple(SPACING_MM[axis] for axis in axes)
    assert score_case(*turned, spacing_mm, surfel_nsd=True) == pytest.approx(
        score_case(*case, SPACING_MM, surfel_nsd=True), nan_ok=True
    )


@QUICK
@given(pairs())
def test_doubling_every_length_doubles_distances_and_keeps_ratios(case):
    once = score_case(*case, SPACING_MM, tau_mm=1.3, surfel_nsd=True)
    twice = score_case(*case, tuple(2 * value for value in SPACING_MM), tau_mm=2.6, surfel_nsd=True)
    for key in ("hd95_mm", "hd95_pooled_mm", "assd_mm"):
        assert twice[key] == pytest.approx(2 * once[key])
    for key in ("dice", "nsd", "nsd_surfel"):
        assert twice[key] == pytest.approx(once[key])
    assert twice["volume_ml"] == pytest.approx(8 * once["volume_ml"])


@QUICK
@given(pairs())
def test_background_around_the_image_changes_no_score_but_the_penalty(case):
    padded = tuple(np.pad(mask, 2) for mask in case)
    inside, around = (score_case(*masks, SPACING_MM, surfel_nsd=True) for masks in (case, padded))
    if inside["distance_penalised"]:
        assert around["hd95_mm"] > inside["hd95_mm"]
    else:
        assert around == pytest.approx(inside, nan_ok=True)


def test_a_distance_equal_to_the_tolerance_is_within_it_whatever_the_rounding():
    pred, ref = np.zeros((2, 6, 3, 3), dtype=bool)
    pred[4, 1, 1], ref[1, 1, 1] = True, True
    assert 3 * 0.1 > 0.3  # the trap: three voxels of 0.1 mm are more than 0.3 in binary floats
    at, below = (score_case(pred, ref, (0.1, 1.0, 1.0), tau_mm, surfel_nsd=True) for tau_mm in (0.3, 0.299))
    assert (at["nsd"], at["nsd_surfel"]) == (1.0, 1.0)
    assert below["nsd"] == 0.0
    assert below["nsd_surfel"] < 1.0


def test_searching_a_tree_and_transforming_the_image_give_the_same_distances(monkeypatch):
    rng = np.random.default_rng(2)
    pred, ref = rng.random((2, 20, 20, 20)) < 0.03
    scores = []
    for voxels_per_search in (0, 10**9):  # always the tree, always the transform
        monkeypatch.setattr(surface, "VOXELS_PER_SEARCH", voxels_per_search)
        scores.append(score_case(pred, ref, SPACING_MM, surfel_nsd=True))
    assert scores[0] == pytest.approx(scores[1], rel=1e-12)
    assert scores[0]["assd_mm"] > 0


def test_a_larger_tolerance_never_lowers_nsd():
    rng = np.random.default_rng(1)
    pred, ref = rng.random((2, 8, 8, 8)) < 0.05
    scores = [score_case(pred, ref, SPACING_MM, tau_mm, surfel_nsd=True) for tau_mm in np.linspace(0, 6, 13)]
    for key in ("nsd", "nsd_surfel"):
        values = [score[key] for score in scores]
        assert values == sorted(values)
        assert values[0] < values[-1]
