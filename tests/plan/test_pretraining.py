"""Pretraining: a trial of its own, planned once for all that start from it, on images of nobody who is scored."""

import itertools
from dataclasses import replace

import pytest

from dgsweep.config.declaration import Hyperparameter, Requires
from dgsweep.errors import ConfigError, PlanError
from dgsweep.plan.file import plan_from_json, plan_to_json
from dgsweep.plan.forecast import plan_totals

FROM = {"name": "erm", "init_from": {"name": "pre"}}
FROM_ALL = {"name": "erm", "init_from": {"name": "pre", "data": "all_unlabelled"}}


@pytest.fixture
def planned(world):
    share = {"share": Hyperparameter(default=0.5, low=0.0, high=1.0)}
    declared = {"pre": world.method("pre", requires=Requires(phase="pretrain"), hyperparameters=share)}

    def plan(methods=("erm", FROM), cases=None, splits=({"sources": ["*/T1W"], "targets": ["*/T2W"]},), **config):
        protocol = {"kind": "explicit", "splits": list(splits), **config.pop("protocol", {})}
        return world.plan(cases, declared=declared, methods=list(methods), protocol=protocol, **config)

    return plan


def people(case_ids):
    return {case_id.rpartition("-")[0] for case_id in case_ids}


def starting(plan):
    return [spec for spec in plan.trials if spec.setting.init_from]


def test_one_pretraining_serves_every_trial_that_starts_from_it(planned):
    plan = planned(protocol={"label_ratio": [0.5, 1.0]}, methods=["erm", FROM, {**FROM, "name": "both"}])
    (first,) = plan.pretraining
    assert first.phase == "pretrain"
    assert len(starting(plan)) == 4
    assert {spec.depends_on for spec in starting(plan)} == {(first.trial_id,)}
    assert all(not spec.depends_on for spec in plan.trials if not spec.setting.init_from)


def test_seeds_and_folds_have_pretrainings_of_their_own(planned):
    plan = planned(seeds=[0, 1], protocol={"folds": 2})
    assert len({spec.trial_id for spec in plan.pretraining}) == len(plan.pretraining) == 4
    for spec in starting(plan):
        (first,) = [one for one in plan.pretraining if (one.trial_id,) == spec.depends_on]
        assert (first.seed, first.fold) == (spec.seed, spec.fold)


@pytest.mark.parametrize("method", [FROM, FROM_ALL])
def test_nobody_who_validates_or_is_scored_in_any_sequence_is_among_its_images(planned, method):
    plan = planned(methods=[method])
    (first,) = plan.pretraining
    assert first.split.unlabelled
    for spec in plan.trials:
        held_out = people((*spec.split.val, *spec.split.test, *spec.split.target))
        assert held_out
        assert not people(first.split.unlabelled) & held_out
    assert not first.score_shas
    assert first.split.train == first.split.val == first.split.test == first.split.target == ()


def test_the_pool_is_of_the_sources_or_of_every_domain(planned):
    sequences = []
    for method in (FROM, FROM_ALL):
        (first,) = planned(methods=[method]).pretraining
        sequences.append({case_id.rpartition("-")[2] for case_id in first.split.unlabelled})
    assert sequences == [{"T1W"}, {"OOP", "T1W", "T2W"}]


def test_a_start_that_saw_target_images_puts_the_method_into_the_transductive_panel(planned):
    panels = [{spec.panel for spec in starting(planned(methods=[method]))} for method in (FROM, FROM_ALL)]
    assert panels == [{"main"}, {"transductive"}]


def test_its_images_but_no_label_enter_its_id_and_the_ids_of_what_starts_from_it(planned, world):
    base = planned()
    seen = set(base.pretraining[0].split.unlabelled)
    trained = set(base.trials[0].split.train) | set(base.trials[0].split.val)

    def changed(field, names):
        cases = [replace(c, **{field: "0" * 64}) if c.case_id in names else c for c in world.data_set()]
        return planned(cases=cases)

    other = changed("image_sha", seen)
    assert other.pretraining[0].trial_id != base.pretraining[0].trial_id
    assert starting(other)[0].trial_id != starting(base)[0].trial_id
    relabelled = changed("label_sha", trained)
    assert relabelled.pretraining[0].trial_id == base.pretraining[0].trial_id
    assert starting(relabelled)[0].trial_id != starting(base)[0].trial_id


def test_trials_that_start_from_nothing_keep_their_ids_beside_those_that_do(planned):
    alone, beside = planned(methods=["erm"]), planned()
    assert alone.pretraining == ()
    assert alone.trials[0].trial_id == beside.trials[0].trial_id
    assert starting(beside)[0].cell_id != beside.trials[0].cell_id


def test_its_budget_is_its_own_and_stands_in_the_totals(planned):
    plan = planned(budget={"steps": 100, "pretrain_steps": 40})
    assert [spec.budget_steps for spec in plan.pretraining] == [40]
    totals = plan_totals(plan, {})
    assert (totals["steps"], totals["pretrainings"], totals["pretraining_steps"]) == (200, 1, 40)
    assert planned(budget={"steps": 100}).pretraining[0].budget_steps == 100
    assert "pretraining_steps" not in plan_totals(planned(methods=["erm"]), {})


def test_its_hyperparameters_are_those_of_init_from(planned):
    own = {"name": "erm", "init_from": {"name": "pre", "hp": {"share": 0.9}}}
    ids = {plan.pretraining[0].trial_id: plan.pretraining[0].hp for plan in (planned(), planned(methods=[own]))}
    assert sorted(hp["share"] for hp in ids.values()) == [0.5, 0.9]
    with pytest.raises(PlanError, match=r"methods\.0\.init_from\.hp.*shares"):
        planned(methods=[{"name": "erm", "init_from": {"name": "pre", "hp": {"shares": 0.9}}}])


def test_two_source_sets_with_the_same_images_share_it_and_others_do_not(planned):
    splits = [{"sources": [f"*/{name}"], "targets": ["*/T2W"]} for name in ("T1W", "OOP")]
    assert len(planned(methods=[FROM], splits=splits).pretraining) == 2
    assert len(planned(methods=[FROM_ALL], splits=splits).pretraining) == 1


def test_what_is_no_pretraining_cannot_be_started_from_and_pretraining_is_no_method_of_its_own(planned):
    with pytest.raises(PlanError, match=r"methods\.0\.init_from\.name: 'mix' is no pretraining method -> .*pre"):
        planned(methods=[{"name": "erm", "init_from": {"name": "mix"}}])
    with pytest.raises(PlanError, match=r"methods\.0\.init_from\.name: no method 'per' -> .*pre"):
        planned(methods=[{"name": "erm", "init_from": {"name": "per"}}])
    with pytest.raises(PlanError, match="name it in `init_from`"):
        planned(methods=["pre"])


def test_the_same_method_from_the_same_start_stands_twice_and_from_another_does_not(planned):
    with pytest.raises(PlanError, match="stands twice"):
        planned(methods=[FROM, FROM])
    assert len(planned(methods=["erm", FROM, FROM_ALL]).trials) == 3


@pytest.mark.parametrize(
    ("start", "says"),
    [
        ({}, "either `name`"),
        ({"name": "pre", "trial": "runs/x/trials/y"}, "either `name`"),
        ({"trial": "x", "data": "source"}, "`data` and `hp` go with `name`"),
        ({"name": "pre", "head": "new"}, "`head` goes with `trial`"),
    ],
)
def test_a_start_is_a_pretraining_or_a_trial(tmp_path, start, says):
    from dgsweep.config.load import load_sweep

    file = tmp_path / "sweep.yaml"
    file.write_text(f"data: {{manifest: m.csv}}\nmethods: [{{name: erm, init_from: {start!r}}}]\n")
    with pytest.raises(ConfigError, match=says):
        load_sweep(file)


def test_a_plan_with_pretraining_is_read_back_as_it_was_written(planned):
    plan = planned(methods=["erm", FROM, FROM_ALL])
    again = plan_from_json(plan_to_json(plan))
    assert again.pretraining == plan.pretraining
    assert again.trials == plan.trials
    assert again.plan_id == plan.plan_id
    for one, other in itertools.combinations(plan.all_trials, 2):
        assert one.trial_id != other.trial_id
