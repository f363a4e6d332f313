"""The stream of batches is the same for any number of workers, and for a second reading."""

from dataclasses import replace

import pytest
import torch
from training_stand_in import cpu, make_case, make_spec

from dgsweep.training.feed import Feed


def free_feed(rank: int = 0, world_size: int = 1, **training) -> Feed:
    """Two labelled cases of C1, and two of C2 whose labels are hidden."""
    trial = make_spec(**{"unlabelled_batch": 2, **training})
    shown = tuple(make_case(name) for name in ("a1", "a2"))
    hidden = tuple(replace(make_case(name), label=None, foreground={}) for name in ("b1", "b2"))
    return Feed(trial, shown, cpu(rank=rank, world_size=world_size), hidden)


def feed(rank: int = 0, world_size: int = 1, **spec) -> Feed:
    trial = make_spec(**spec)
    cases = tuple(make_case(name) for name in trial.split.train)
    return Feed(trial, cases, cpu(rank=rank, world_size=world_size))


@pytest.mark.parametrize("world_size", [2, 4])
def test_the_shares_of_the_workers_reassemble_the_batch_of_one_worker(world_size):
    for step in range(3):
        whole = feed().batch(step)
        parts = [feed(rank, world_size).batch(step) for rank in range(world_size)]
        for rank, part in enumerate(parts):
            own = slice(rank * 4 // world_size, (rank + 1) * 4 // world_size)
            assert torch.equal(part.image, whole.image[own])
            assert torch.equal(part.label, whole.label[own])
            assert torch.equal(part.domain, whole.domain[own])
            assert part.case_ids == whole.case_ids[own]


def test_a_batch_depends_on_seed_and_step_and_not_on_what_was_read_before():
    first, used = feed(), feed()
    for step in range(4):
        used.batch(step)
    assert torch.equal(first.batch(4).image, used.batch(4).image)
    assert not torch.equal(first.batch(4).image, first.batch(5).image)
    assert not torch.equal(first.batch(4).image, feed(seed=1).batch(4).image)


def test_the_case_ids_of_a_step_can_be_asked_for_later():
    stream = feed()
    assert stream.case_ids(3) == stream.batch(3).case_ids


def test_every_domain_is_in_every_batch():
    for step in range(5):
        assert set(feed().batch(step).domain.tolist()) == {0, 1}


def test_every_worker_gets_every_domain_where_its_share_is_large_enough():
    for step in range(5):
        for rank in range(2):
            assert set(feed(rank, 2).batch(step).domain.tolist()) == {0, 1}


def test_unlabelled_patches_come_beside_the_labelled_ones_and_show_no_label():
    batch = free_feed().batch(0)
    assert batch.image.shape[0] == 4
    assert batch.unlabelled.image.shape[0] == 2
    assert set(batch.case_ids) <= {"a1", "a2"}
    assert set(batch.unlabelled.case_ids) <= {"b1", "b2"}
    assert (batch.unlabelled.label == -1).all()
    assert not (batch.label == -1).any()


def test_unlabelled_patches_move_no_labelled_one():
    plain = Feed(make_spec(), tuple(make_case(name) for name in ("a1", "a2")), cpu())
    for step in range(3):
        assert torch.equal(plain.batch(step).image, free_feed().batch(step).image)
    assert plain.batch(0).unlabelled is None


def test_domains_without_a_label_are_counted_on_after_the_sources():
    batch = free_feed().batch(0)
    assert set(batch.domain.tolist()) == {0}
    assert set(batch.unlabelled.domain.tolist()) == {1}


def test_workers_share_the_unlabelled_batch_too():
    whole = free_feed().batch(1).unlabelled
    parts = [free_feed(rank, 2).batch(1).unlabelled for rank in range(2)]
    assert torch.equal(torch.cat([part.image for part in parts]), whole.image)


def test_the_case_ids_of_a_step_name_unlabelled_cases_too():
    stream = free_feed()
    batch = stream.batch(3)
    assert stream.case_ids(3) == (*batch.case_ids, *batch.unlabelled.case_ids)
