"""Unlabelled scans: whose they are, who is kept out, and where their absence or presence shows."""

import itertools
from dataclasses import replace

import pytest

from dgsweep.config.declaration import Requires
from dgsweep.errors import PlanError


@pytest.fixture
def free(world):
    return {"free": world.method("free", requires=Requires(unlabelled="source"))}


def planned(world, free, *, unlabelled="source", ratio=0.5, cases=None, **protocol):
    return world.plan(
        cases,
        declared=free,
        methods=["erm", "free"],
        protocol={"kind": "cross_sequence", "label_ratio": [ratio], "unlabelled": unlabelled, **protocol},
    )


def trial(plan, method, source="T1W"):
    return next(spec for spec in plan.trials if spec.method == method and spec.sources_label == source)


def people(case_ids):
    return {case_id.rpartition("-")[0] for case_id in case_ids}


def test_a_label_ratio_leaves_the_rest_of_the_training_patients_unlabelled(world, free):
    plan = planned(world, free)
    erm, own = trial(plan, "erm"), trial(plan, "free")
    whole = trial(planned(world, free, ratio=1.0, unlabelled="both"), "erm")
    assert own.split.train == erm.split.train
    assert erm.split.unlabelled == ()
    assert set(own.split.train) | set(own.split.unlabelled) == set(whole.split.train)
    assert not set(own.split.train) & set(own.split.unlabelled)
    assert own.setting.unlabelled == "source"
    assert own.panel == "main"


@pytest.mark.parametrize("kind", ["source", "target_train", "both"])
def test_nobody_who_validates_or_is_scored_is_among_the_unlabelled(world, free, kind):
    own = trial(planned(world, free, unlabelled=kind), "free")
    assert own.split.unlabelled
    held_out = people((*own.split.val, *own.split.test, *own.split.target))
    assert not people(own.split.unlabelled) & held_out
    sequences = {case_id.rpartition("-")[2] for case_id in own.split.unlabelled}
    assert sequences == {"source": {"T1W"}, "target_train": {"OOP", "T2W"}, "both": {"T1W", "OOP", "T2W"}}[kind]


@pytest.mark.parametrize(
    ("kind", "panel"), [("target_train", "transductive"), ("both", "transductive"), ("source", "main")]
)
def test_methods_that_see_target_scans_stand_in_the_transductive_panel(world, free, kind, panel):
    plan = planned(world, free, unlabelled=kind)
    assert trial(plan, "free").panel == panel
    assert trial(plan, "erm").panel == "main"


def test_the_kind_and_the_images_enter_the_id_and_labels_that_nobody_reads_do_not(world, free):
    base = trial(planned(world, free), "free")
    assert base.trial_id != trial(planned(world, free, unlabelled="both"), "free").trial_id
    unlabelled = set(base.split.unlabelled)

    def with_changed(field):
        cases = [replace(c, **{field: "0" * 64}) if c.case_id in unlabelled else c for c in world.data_set()]
        return trial(planned(world, free, cases=cases), "free").trial_id

    assert with_changed("image_sha") != base.trial_id
    assert with_changed("label_sha") == base.trial_id


def test_methods_without_unlabelled_scans_keep_their_ids_whatever_the_protocol_offers(world, free):
    ids = {trial(planned(world, free, unlabelled=kind), "erm").trial_id for kind in ("source", "target_train", "both")}
    assert len(ids) == 1


def test_scans_of_patients_without_any_label_are_used_whatever_their_role(world, free):
    extra = [world.case(f"x{i}", "C1", "T1W", labelled=False, label_sha="") for i in range(12)]
    own = trial(planned(world, free, ratio=1.0, cases=[*world.data_set(), *extra]), "free")
    assert people(own.split.unlabelled) == {f"x{i}" for i in range(12)}


def test_an_empty_pool_is_refused_with_what_to_do(world, free):
    plan = planned(world, free, ratio=1.0)
    assert {refusal.method for refusal in plan.refusals} == {"free"}
    assert "set protocol.label_ratio below 1" in plan.refusals[0].reason


def test_target_scans_are_refused_where_every_target_patient_is_scored(world, free):
    with pytest.raises(PlanError, match=r"protocol.target_cases: .*set it to test"):
        planned(world, free, unlabelled="target_train", target_cases="all")
    assert planned(world, free, unlabelled="source", target_cases="all").trials


def test_a_method_entry_may_say_whose_scans_it_is_given(world, free):
    protocol = {"kind": "cross_sequence", "label_ratio": [0.5]}
    wanted = [{"name": "free", "unlabelled": kind} for kind in ("source", "target_train")]
    plan = world.plan(declared=free, methods=wanted, protocol=protocol)
    assert {spec.setting.unlabelled for spec in plan.trials} == {"source", "target_train"}
    with pytest.raises(PlanError, match="learns from labelled scans only"):
        world.plan(declared=free, methods=[{"name": "erm", "unlabelled": "source"}], protocol=protocol)
    with pytest.raises(PlanError, match="stands twice"):
        world.plan(declared=free, methods=["free", "free"], protocol=protocol)


def test_label_subsets_are_nested_validation_scales_and_the_test_set_stays(world, free):
    ratios = [0.1, 0.2, 0.5, 1.0]
    rows = [trial(planned(world, free, ratio=ratio, unlabelled="both"), "erm").split for ratio in ratios]
    for smaller, larger in itertools.pairwise(rows):
        assert set(smaller.train) < set(larger.train)
        assert set(smaller.val) <= set(larger.val)
        assert smaller.test == larger.test
    assert len(rows[0].val) < len(rows[-1].val)


def test_a_ratio_that_leaves_one_labelled_patient_is_refused(world, free):
    few = world.data_set(patients=4, centers=1)
    with pytest.raises(PlanError, match=r"label_ratio 0\.1 leaves 1 labelled training patient"):
        planned(world, free, ratio=0.1, cases=few)
