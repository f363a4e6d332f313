"""Patches depend on seed and step alone, are balanced over domains, and hold foreground where asked."""

from collections import Counter

import numpy as np
import pytest

from dgsweep.data.cache import CachedCase
from dgsweep.data.grid import NativeGrid
from dgsweep.data.sampling import PatchSampler
from dgsweep.errors import InputError


def _case(case_id, domain, shape=(20, 18, 16), blocks=((1, (3, 4, 5)),), labelled=True):
    """Each voxel holds its own flat index + 1, so that a patch tells where it was cut."""
    image = np.arange(1, np.prod(shape) + 1, dtype=np.float32).reshape(shape)
    label = np.zeros(shape, np.uint8)
    for value, corner in blocks:
        label[tuple(slice(at, at + 2) for at in corner)] = value
    foreground = {int(k): np.flatnonzero(label == k) for k in np.unique(label) if k}
    native = NativeGrid(shape=shape, affine=((1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1)))
    return CachedCase(case_id=case_id, domain=domain, image=image, label=label if labelled else None,
                      foreground=foreground if labelled else {}, native=native, spacing_mm=(1.0, 1.0, 1.0))  # fmt: skip


CASES = [_case(f"c{i}", f"d{i % 3}") for i in range(7)]


def test_a_batch_has_the_shapes_and_types_that_training_expects():
    batch = PatchSampler(CASES, (8, 6, 4), 5, 0.33, 0).batch(0)
    assert batch.image.shape == (5, 1, 8, 6, 4)
    assert batch.label.shape == (5, 8, 6, 4)
    assert (batch.image.dtype, batch.label.dtype, batch.domain.dtype) == (np.float32, np.int16, np.int64)
    assert len(batch.case_ids) == 5


def test_a_step_is_the_same_whatever_was_drawn_before():
    straight, resumed = PatchSampler(CASES, (8, 6, 4), 4, 0.33, 7), PatchSampler(CASES[::-1], (8, 6, 4), 4, 0.33, 7)
    for step in range(10):
        last = straight.batch(step)
    again = resumed.batch(9)
    np.testing.assert_array_equal(again.image, last.image)
    assert again.case_ids == last.case_ids
    assert not np.array_equal(resumed.batch(8).image, last.image)
    assert not np.array_equal(PatchSampler(CASES, (8, 6, 4), 4, 0.33, 8).batch(9).image, last.image)


def test_patch_and_label_are_cut_at_the_same_place():
    sampler = PatchSampler(CASES, (8, 6, 4), 4, 1.0, 0)
    for step in range(20):
        batch = sampler.batch(step)
        flat = batch.image[:, 0].astype(int) - 1
        np.testing.assert_array_equal(batch.label, CASES[0].label.ravel()[flat])


@pytest.mark.parametrize(("batch", "most", "least"), [(3, 1, 1), (6, 2, 2), (4, 2, 1)])
def test_every_batch_holds_each_domain_equally_often(batch, most, least):
    sampler = PatchSampler(CASES, (4, 4, 4), batch, 0.33, 0)
    for step in range(30):
        counts = Counter(sampler.batch(step).domain.tolist())
        assert set(counts.values()) <= {most, least}
        assert len(counts) == 3


def test_a_batch_smaller_than_the_number_of_domains_never_repeats_one_and_is_even_over_time():
    sampler = PatchSampler(CASES, (4, 4, 4), 2, 0.33, 0)
    drawn = [sampler.batch(step).domain.tolist() for step in range(600)]
    assert all(first != second for first, second in drawn)
    counts = Counter(domain for pair in drawn for domain in pair)
    assert all(abs(count - 400) < 60 for count in counts.values())  # 4 standard deviations of 600 draws of 2/3: 46


def test_a_case_belongs_to_the_domain_that_the_batch_names():
    sampler = PatchSampler(CASES, (4, 4, 4), 6, 0.33, 0)
    domain_of = {case.case_id: case.domain for case in CASES}
    batch = sampler.batch(3)
    assert [sampler.domains[index] for index in batch.domain] == [domain_of[name] for name in batch.case_ids]


@pytest.mark.parametrize(
    ("batch", "fraction", "forced"), [(2, 0.33, 1), (4, 0.33, 1), (6, 0.33, 2), (1, 0.33, 1), (4, 1.0, 4)]
)
def test_the_last_patches_of_a_batch_always_hold_foreground(batch, fraction, forced):
    """Counts of nnU-Net: all but round(B (1 - f)), here at least one."""
    sampler = PatchSampler(CASES, (4, 4, 4), batch, fraction, 0)
    hits = np.array([[(label > 0).any() for label in sampler.batch(step).label] for step in range(60)])
    assert hits[:, batch - forced :].all()
    assert not hits[:, : batch - forced].all(axis=0).any()


def test_without_a_foreground_fraction_nothing_is_forced():
    sampler = PatchSampler(CASES, (4, 4, 4), 2, 0.0, 0)
    hits = np.array([[(label > 0).any() for label in sampler.batch(step).label] for step in range(60)])
    assert not hits.all(axis=0).any()


def test_a_rare_structure_is_centred_on_as_often_as_a_common_one():
    case = _case("c", "d", shape=(40, 40, 40), blocks=((1, (5, 5, 5)), (2, (30, 30, 30))))
    case.label[28:34, 28:34, 28:34] = 2
    case = CachedCase(**{**vars(case), "foreground": {k: np.flatnonzero(case.label == k) for k in (1, 2)}})
    sampler = PatchSampler([case], (4, 4, 4), 1, 1.0, 0)
    rare = np.mean([(sampler.batch(step).label == 1).any() for step in range(400)])
    assert 0.4 < rare < 0.6


def test_a_case_without_foreground_still_gives_patches():
    batch = PatchSampler([_case("c", "d", blocks=())], (4, 4, 4), 2, 1.0, 0).batch(0)
    assert (batch.label == 0).all()
    assert (batch.image > 0).all()


def test_a_patch_longer_than_the_scan_is_padded_evenly_on_both_sides():
    case = _case("c", "d", shape=(5, 18, 16), blocks=((1, (2, 4, 5)),))
    batch = PatchSampler([case], (8, 6, 4), 3, 0.5, 0).batch(0)
    inside = batch.image[:, 0] != 0
    # 3 voxels are missing along x: 1 before, 2 after, as MONAI's sliding window pads
    assert inside[:, 1:6].all()
    assert not inside[:, :1].any()
    assert not inside[:, 6:].any()
    assert (batch.label[~inside] == 0).all()
    assert (batch.label[2] == 1).any()


def test_unlabelled_patches_cannot_pass_for_background():
    batch = PatchSampler([_case("c", "d", labelled=False)], (4, 4, 4), 2, 0.33, 0).batch(0)
    assert (batch.label == -1).all()


def test_no_cases_is_an_input_error():
    with pytest.raises(InputError, match="0 cases"):
        PatchSampler([], (4, 4, 4), 2, 0.33, 0)
