"""Cells beside the methods: planned apart, never on their own patients, and nothing else moves."""

import pytest

from dgsweep.errors import PlanError
from dgsweep.plan.controls import labels_of_others, patients_on_both_sides
from dgsweep.plan.file import plan_from_json, plan_to_json
from dgsweep.plan.forecast import plan_totals
from dgsweep.plan.roles import TrialCases

BOTH = {"ceiling": True, "shuffled_labels": True}


def controls(plan, variant=None):
    found = [trial for trial in plan.trials if trial.panel == "control"]
    return [trial for trial in found if variant is None or trial.setting.variant == variant]


def people(cases, names):
    known = {case.case_id: case.patient_id for case in cases}
    return {known[name] for name in names}


def test_controls_move_no_other_trial_and_are_counted(world):
    plain = world.plan(methods=["erm", "mix"])
    planned = world.plan(methods=["erm", "mix"], controls=BOTH)
    assert [trial.trial_id for trial in planned.compared] == [trial.trial_id for trial in plain.trials]
    assert controls(plain) == []
    totals = plan_totals(planned, {})
    assert totals["of_them_control_cells"] == len(controls(planned)) == 12 + 3  # 12 domains, 3 source sets
    assert totals["cells"] == len(plain.trials) + 15
    assert len({trial.trial_id for trial in planned.trials}) == len(planned.trials)


@pytest.mark.parametrize("folds", [1, 3])
@pytest.mark.parametrize("target_cases", ["test", "all"])
def test_no_control_is_tested_on_a_patient_that_it_trained_on(world, folds, target_cases):
    cases = world.data_set(12, 2)
    plan = world.plan(cases, protocol={"folds": folds, "target_cases": target_cases}, controls=BOTH)
    assert len(controls(plan, "ceiling")) == 6 * folds
    for trial in controls(plan):
        split = trial.split
        assert not people(cases, (*split.train, *split.val)) & people(cases, (*split.test, *split.target))


def test_a_patient_on_both_sides_is_found(world):
    one, other = world.case("p", "C1", "T1W"), world.case("p", "C1", "T2W")
    assert patients_on_both_sides(TrialCases(train=(one,), val=(), test=(other,), target=())) == {"p"}
    assert patients_on_both_sides(TrialCases(train=(one,), val=(), test=(), target=())) == set()


def test_a_ceiling_trains_on_its_domain_alone_and_is_scored_there(world):
    cases = world.data_set()
    known = {case.case_id: case.domain(("center", "sequence")) for case in cases}
    for trial in controls(world.plan(cases, controls={"ceiling": True}), "ceiling"):
        assert {known[name] for name in (*trial.split.train, *trial.split.test)} == set(trial.sources)
        assert len(trial.sources) == 1
        assert trial.split.target == ()
        assert trial.split.test


def test_an_erm_cell_that_is_a_ceiling_already_is_not_trained_twice(world):
    plan = world.plan(protocol={"kind": "single_source"}, controls={"ceiling": True})
    assert controls(plan) == []
    assert any("is its ceiling" in note for note in plan.notes)
    without = world.plan(protocol={"kind": "single_source"}, methods=["mix"], controls={"ceiling": True})
    assert len(controls(without)) == 12


def test_an_inner_cell_of_the_same_sources_is_no_ceiling(world):
    rule, cases = ["inner_leave_one_domain_out"], world.data_set(12, 2)
    plan = world.plan(cases, search={"trials": 2}, selection=rule, controls={"ceiling": True})
    assert {trial.sources for trial in plan.trials if trial.panel == "inner"} >= {("C1/T1W",)}
    assert len(controls(plan)) == 6


def test_labels_always_come_from_another_patient_of_the_same_domain(world):
    cases = world.data_set()
    known = {case.case_id: case for case in cases}
    (trial,) = [one for one in controls(world.plan(cases, controls=BOTH), "shuffled_labels") if one.fold == 0][:1]
    assert set(trial.labels_from) == set(trial.split.train)
    for own, other in trial.labels_from.items():
        assert known[own].patient_id != known[other].patient_id
        assert known[own].domain(("center", "sequence")) == known[other].domain(("center", "sequence"))
    assert set(trial.labels_from.values()) <= set(trial.split.train)


def test_a_domain_of_one_patient_takes_labels_from_another_domain_and_one_patient_has_none(world):
    first, second = world.case("a", "C1", "T1W"), world.case("b", "C2", "T1W")
    assert labels_of_others([first, second], ("center",)) == {"a-T1W": "b-T1W", "b-T1W": "a-T1W"}
    assert labels_of_others([first, world.case("a", "C1", "T2W")], ("center",)) == {}


def test_a_search_gives_controls_no_further_trials(world):
    plan = world.plan(methods=["mix", "erm"], search={"trials": 3}, controls=BOTH)
    assert {trial.trial for trial in controls(plan)} == {0}
    assert {search.cell_id for search in plan.searches}.isdisjoint({trial.cell_id for trial in controls(plan)})


def test_a_target_with_one_patient_has_no_ceiling_and_a_note(world):
    cases = [*world.data_set(8, 1, ("T1W",)), world.case("x", "C9", "T2W"), world.case("x", "C9", "OOP")]
    plan = world.plan(
        cases,
        protocol={
            "kind": "explicit",
            "splits": [{"sources": ["*/T1W"], "targets": ["C9/*"]}],
            "target_cases": "all",
        },
        controls=BOTH,
    )
    assert controls(plan, "ceiling") == []
    assert any("too few for a ceiling" in note for note in plan.notes)


def test_without_the_baseline_controls_are_refused(world):
    from dgsweep.config.schema import SweepConfig
    from dgsweep.plan.build import build_plan

    sweep = SweepConfig.model_validate({"data": {"manifest": "m.csv"}, "methods": ["mix"], "controls": BOTH})
    nets = {"nnunet": world.network("nnunet", patch_multiple=(16, 16, 8))}
    with pytest.raises(PlanError, match="controls"):
        build_plan(sweep, world.data_set(), {"pancreas": 1}, {"mix": world.method("mix")}, nets, {})


def test_controls_come_back_from_the_plan_file(world):
    plan = world.plan(controls=BOTH)
    assert plan_from_json(plan_to_json(plan)) == plan
