"""Starting from a trial that ran before: refused where its weights do not fit or where it has seen who is scored."""

from dataclasses import replace

import pytest

from dgsweep.errors import PlanError
from dgsweep.plan.given import GivenTrial

PLACE = "/runs/earlier/trials/abc"
SPLIT = {"sources": ["*/T1W"], "targets": ["*/T2W"]}


@pytest.fixture
def earlier(world):
    """A finished trial that learnt two structures on some training patients of the same data, in OOP."""
    protocol = {"kind": "explicit", "splits": [{"sources": ["*/OOP"], "targets": ["*/T1W"]}]}
    plan = world.plan(methods=["erm"], networks=["tiny"], protocol=protocol, labels={"liver": 2, "pancreas": 1})
    return plan.trials[0]


@pytest.fixture
def from_trial(world):
    def plan(spec, *, head="new", networks=("tiny",), sha="1" * 64, ancestors=(), place=PLACE, cases=None):
        given = GivenTrial(spec=spec, checkpoint=f"{place}/checkpoint/final.pt", sha256=sha, ancestors=ancestors)
        return world.plan(
            cases,
            methods=["erm", {"name": "erm", "init_from": {"trial": place, "head": head}}],
            networks=list(networks),
            protocol={"kind": "explicit", "splits": [SPLIT]},
            trials={place: given},
        )

    return plan


def started(plan):
    return [spec for spec in plan.trials if spec.given]


def test_the_worker_is_told_where_the_weights_are_and_what_they_must_be(from_trial, earlier):
    (spec,) = started(from_trial(earlier))
    assert spec.given == {"checkpoint": f"{PLACE}/checkpoint/final.pt", "sha256": "1" * 64, "head": "new"}
    assert spec.depends_on == ()
    assert spec.setting.init_from == f"erm of {earlier.sweep}, trial {earlier.trial_id[:8]}"


def test_the_id_follows_the_weights_and_not_the_place(from_trial, earlier):
    (base,) = started(from_trial(earlier))
    assert started(from_trial(earlier, place="/elsewhere/trials/abc"))[0].trial_id == base.trial_id
    assert started(from_trial(earlier, sha="2" * 64))[0].trial_id != base.trial_id


def test_another_label_set_is_refused_unless_the_head_is_new(from_trial, earlier):
    plan = from_trial(earlier, head="keep")
    assert started(plan) == []
    assert "segments liver, pancreas, and the sweep pancreas; set init_from.head: new" in plan.refusals[0].reason
    assert started(from_trial(earlier, head="new"))


def test_another_network_is_refused_and_the_right_one_of_the_sweep_is_not(from_trial, earlier):
    plan = from_trial(earlier, networks=("tiny", "nnunet"))
    assert [spec.network for spec in started(plan)] == ["tiny"]
    (refusal,) = plan.refusals
    assert "holds weights of tiny (recipe 1), and the cell's network is nnunet (recipe 1)" in refusal.reason


def test_a_start_that_learnt_from_a_scored_patient_is_refused_in_whatever_sequence(from_trial, earlier):
    scored = started(from_trial(earlier))[0].split.test[0].replace("T1W", "OOP")
    for role in ("train", "val", "unlabelled"):
        leaking = replace(earlier, split=replace(earlier.split, **{role: (scored,)}))
        plan = from_trial(leaking)
        assert started(plan) == []
        assert "learnt from 1 patient(s) that the cell scores" in plan.refusals[0].reason


def test_what_the_start_itself_started_from_counts_too(from_trial, earlier):
    scored = started(from_trial(earlier))[0].split.target[0]
    leaking = replace(earlier, split=replace(earlier.split, unlabelled=(scored,)))
    assert "learnt from 1 patient(s)" in from_trial(earlier, ancestors=(leaking,)).refusals[0].reason


def test_labels_of_a_target_domain_make_an_oracle_and_images_alone_are_transductive(from_trial, earlier):
    def panel(**roles):
        names = [name for role in roles.values() for name in role]
        domains = {**earlier.domains, **{name: f"C1/{name.rpartition('-')[2]}" for name in names}}
        spec = replace(earlier, split=replace(earlier.split, **roles), domains=domains)
        return started(from_trial(spec))[0].panel

    trained = earlier.split.train[0]
    in_target = (trained.replace("OOP", "T2W"),)
    assert panel(train=(trained,)) == "main"
    assert panel(unlabelled=in_target) == "transductive"
    assert panel(train=in_target) == "oracle"


def test_scans_that_the_manifest_does_not_know_are_noted(from_trial, earlier):
    foreign = replace(earlier, split=replace(earlier.split, train=("x1", "x2")))
    notes = from_trial(foreign).notes
    assert any("2 of the scans that erm of" in note and "cannot be told" in note for note in notes)
    assert not any("cannot be told" in note for note in from_trial(earlier).notes)


def test_when_every_cell_is_refused_the_plan_says_why(world, earlier):
    given = GivenTrial(spec=earlier, checkpoint="x", sha256="1")
    with pytest.raises(PlanError, match=r"set init_from\.head: new"):
        world.plan(
            methods=[{"name": "erm", "init_from": {"trial": PLACE}}],
            networks=["tiny"],
            protocol={"kind": "explicit", "splits": [SPLIT]},
            trials={PLACE: given},
        )
