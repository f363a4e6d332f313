"""Starting from weights: those of a pretraining, those of a trial with other structures, those of another network."""

from dataclasses import replace

import pytest
import torch
from training_stand_in import cpu, make_case, make_spec, make_task, weights_of

from dgsweep.errors import TrialFailedError
from dgsweep.plan.trial import Split
from dgsweep.training.assemble import build_context, start_from
from dgsweep.training.checkpoint import FINAL
from dgsweep.training.feed import Feed
from dgsweep.training.loop import train

IMAGES = Split(train=(), val=(), test=(), target=(), unlabelled=("a1", "a2", "b1", "b2"))


def pretraining(**changes):
    spec = make_spec("mae3d", hp={"mask": 0.5, "block": 4}, **changes)
    return replace(spec, phase="pretrain", split=IMAGES)


def pretrain(folder, **changes):
    spec = pretraining(**changes)
    cases = tuple(make_case(name) for name in IMAGES.unlabelled)
    return train(replace(make_task(spec, folder), unlabelled=cases)), folder / "t" / "checkpoint" / FINAL


def network(**changes):
    return build_context(make_spec(**changes), cpu()).network


def test_in_pretraining_patches_come_from_unlabelled_scans_and_no_voxel_of_a_label_is_shown():
    cases = [make_case(name) for name in IMAGES.unlabelled]
    batch = Feed(pretraining(), (), cpu(), cases).batch(0)
    assert set(batch.case_ids) <= set(IMAGES.unlabelled)
    assert batch.unlabelled is None
    assert torch.unique(batch.label).tolist() == [-1]
    assert torch.unique(Feed(make_spec(), cases, cpu()).batch(0).label).tolist() == [0, 1]


def test_a_pretraining_runs_without_labels_and_leaves_weights_and_its_loss(tmp_path):
    training, final = pretrain(tmp_path)
    assert final.exists()
    assert training.curves.values("train", "all", "loss_restoration")
    assert training.curves.values("val", "all", "dice") == []
    assert not torch.equal(weights_of(training), torch.cat([v.flatten() for v in network().state_dict().values()]))


def test_training_starts_from_the_pretrained_weights_and_goes_its_own_way(tmp_path):
    before, final = pretrain(tmp_path / "pre")
    still = train(replace(make_task(make_spec(learning_rate=1e-12, momentum=0.0), tmp_path / "a"), start=final))
    assert torch.allclose(weights_of(still), weights_of(before), atol=1e-6)
    fresh = train(make_task(make_spec(), tmp_path / "b"))
    started = train(replace(make_task(make_spec(), tmp_path / "c"), start=final))
    assert not torch.equal(weights_of(fresh), weights_of(started))


def test_a_training_that_goes_on_does_not_start_again(tmp_path):
    _, final = pretrain(tmp_path / "pre")
    straight = train(replace(make_task(make_spec(), tmp_path / "a"), start=final))
    begun = replace(make_task(make_spec(), tmp_path / "b"), start=final)

    class Killed(Exception):
        pass

    def stop(step):
        if step == 4:
            raise Killed

    with pytest.raises(Killed):
        train(replace(begun, runtime=cpu(tick=stop)))
    assert torch.equal(weights_of(train(begun)), weights_of(straight))


def test_weights_of_another_network_are_refused_with_the_names_that_do_and_do_not_fit():
    wider = replace(make_spec(), network_options={"width": 8, "levels": 2})
    given = build_context(wider, cpu()).network.state_dict()
    with pytest.raises(TrialFailedError, match=r"6 of 15 entries fit\. other shape \(\d+\): .* instead of ") as refused:
        start_from(network(), given)
    assert refused.value.kind == "dependency"
    deeper = replace(make_spec(), network_options={"width": 4, "levels": 3})
    with pytest.raises(TrialFailedError, match=r"[1-9]\d* of \d+ entries fit.*not in this network \(\d+\)"):
        start_from(network(), build_context(deeper, cpu()).network.state_dict())


def test_another_number_of_structures_is_refused_unless_the_head_is_new():
    grid = replace(make_spec().preprocessing, labels={"liver": 1, "organ": 2})
    given = build_context(replace(make_spec(seed=1), preprocessing=grid), cpu()).network.state_dict()
    with pytest.raises(TrialFailedError, match="another set of labels"):
        start_from(network(), given)
    own = network()
    before = {name: value.clone() for name, value in own.state_dict().items()}
    start_from(own, given, new_head=2)
    shaped = {name for name, value in given.items() if value.shape != before[name].shape}
    assert shaped
    for name, value in own.state_dict().items():
        assert torch.equal(value, before[name] if name in shaped else given[name])


def test_a_new_head_does_not_excuse_weights_of_another_network():
    for options, says in (
        ({"width": 4, "levels": 3}, "not in this network"),
        ({"width": 8, "levels": 2}, "instead of"),
    ):
        other = build_context(replace(make_spec(), network_options=options), cpu()).network
        with pytest.raises(TrialFailedError, match=says):
            start_from(network(), other.state_dict(), new_head=2)
