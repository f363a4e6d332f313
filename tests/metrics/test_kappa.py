"""Agreement beyond chance, against implementations that others wrote."""

import math

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score, confusion_matrix

from dgsweep.metrics import cohen_kappa, fleiss_kappa, voxel_kappa
from dgsweep.metrics.overlap import Overlap


def overlap_of(first, second):
    return Overlap(n_pred=int(first.sum()), n_ref=int(second.sum()), n_both=int((first & second).sum()))


@pytest.mark.parametrize("seed", range(5))
def test_cohens_kappa_is_that_of_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    first = rng.integers(0, 3, 200)
    second = np.where(rng.random(200) < 0.6, first, rng.integers(0, 3, 200))
    assert cohen_kappa(confusion_matrix(first, second)) == pytest.approx(cohen_kappa_score(first, second), abs=1e-12)


@pytest.mark.parametrize("share", [0.01, 0.3, 0.9])
def test_kappa_from_counts_of_voxels_is_that_of_the_voxels(share):
    rng = np.random.default_rng(1)
    first = rng.random((12, 10, 8)) < share
    second = first ^ (rng.random(first.shape) < 0.05)
    expected = cohen_kappa_score(first.ravel(), second.ravel())
    assert voxel_kappa(overlap_of(first, second), first.size) == pytest.approx(expected, abs=1e-12)


def test_a_smaller_region_gives_a_smaller_kappa():
    overlap = Overlap(n_pred=100, n_ref=110, n_both=80)
    assert voxel_kappa(overlap, 200) < voxel_kappa(overlap, 10_000) < overlap.dice


def test_kappa_of_two_empty_masks_is_not_defined_and_of_one_empty_mask_is_zero():
    assert math.isnan(voxel_kappa(Overlap(n_pred=0, n_ref=0, n_both=0), 64))
    assert voxel_kappa(Overlap(n_pred=0, n_ref=9, n_both=0), 64) == 0


def test_fleiss_kappa_is_that_of_his_paper():
    counts = [  # J. L. Fleiss 1971, as worked out on Wikipedia: 10 subjects, 14 raters, 5 categories
        [0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1],
        [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7],
    ]  # fmt: skip
    assert fleiss_kappa(counts) == pytest.approx(0.210, abs=5e-4)


def test_fleiss_kappa_of_one_reader_or_of_one_answer_is_not_defined():
    assert math.isnan(fleiss_kappa([[1, 0], [0, 1]]))
    assert math.isnan(fleiss_kappa([[3, 0], [3, 0]]))


def test_fleiss_kappa_of_readers_who_always_agree_is_one():
    assert fleiss_kappa([[3, 0], [0, 3], [3, 0]]) == pytest.approx(1.0)
