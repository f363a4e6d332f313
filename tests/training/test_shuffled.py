"""The negative control trains on labels of others, and nothing else of a training changes."""

from dataclasses import replace

import numpy as np
import torch
from training_stand_in import cpu, make_case, make_spec

from dgsweep.training.feed import Feed
from dgsweep.training.shuffled import centred, with_labels_of_others

AROUND = {"a1": "a2", "a2": "a1", "b1": "b2", "b2": "b1"}


def test_labels_are_those_of_the_named_cases_and_images_their_own():
    cases = [make_case(name) for name in AROUND]
    given = {case.case_id: case for case in with_labels_of_others(cases, AROUND)}
    for case in cases:
        assert np.array_equal(given[AROUND[case.case_id]].label, case.label)
        assert given[case.case_id].image is case.image
        found = given[case.case_id]
        assert np.array_equal(found.foreground[1], np.flatnonzero(found.label == 1))


def test_without_a_control_the_cases_are_the_same_objects():
    cases = [make_case("a1")]
    assert with_labels_of_others(cases, {}) is cases


def test_a_label_of_another_size_is_centred():
    label = np.zeros((4, 6, 3), dtype=np.uint8)
    label[1:3, 2:4, 1] = 1
    small, large = centred(label, (2, 4, 3)), centred(label, (8, 8, 5))
    assert (small.shape, large.shape) == ((2, 4, 3), (8, 8, 5))
    assert small.sum() == large.sum() == 4
    assert large[3:5, 3:5, 2].sum() == 4


def test_the_feed_gives_the_same_images_of_other_labels():
    spec = make_spec()
    cases = [make_case(name) for name in spec.split.train]
    plain = Feed(replace(spec, training={**spec.training, "foreground_fraction": 0.0}), cases, cpu())
    control = Feed(
        replace(spec, training={**spec.training, "foreground_fraction": 0.0}, labels_from=AROUND), cases, cpu()
    )
    first, second = plain.batch(0), control.batch(0)
    assert first.case_ids == second.case_ids
    assert not torch.equal(first.label, second.label)
    again = Feed(replace(spec, training={**spec.training, "foreground_fraction": 0.0}), cases, cpu()).batch(0)
    assert torch.equal(first.label, again.label)
