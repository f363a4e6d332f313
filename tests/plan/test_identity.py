"""A trial id changes with what training depends on, and with nothing else."""

from dataclasses import replace

import pytest

from dgsweep.plan.case import CaseInfo
from dgsweep.plan.trial import Plan, TrialSpec

SPLITS = [{"sources": ["C1/T1W"], "targets": ["C2/T1W"]}]


def plan(world, cases=None, **changes) -> Plan:
    config = {"methods": ["mix"], "protocol": {"kind": "explicit", "splits": SPLITS}, **changes}
    return world.plan(world.data_set(12, 2) if cases is None else cases, **config)


def only(planned: Plan) -> TrialSpec:
    (trial,) = planned.trials
    return trial


def with_case(cases: list[CaseInfo], case_id: str, **changes) -> list[CaseInfo]:
    assert any(case.case_id == case_id for case in cases)
    return [replace(case, **changes) if case.case_id == case_id else case for case in cases]


@pytest.mark.parametrize(
    "changes",
    [
        {"methods": [{"name": "mix", "hp": {"alpha": 0.3}}]},
        {"methods": [{"name": "mix", "variant": "other"}]},
        {"budget": {"steps": 100}},
        {"seeds": [1]},
        {"networks": ["tiny"]},
        {"data": {"manifest": "m.csv", "spacing_mm": [2, 2, 2]}},
        {"data": {"manifest": "m.csv", "patch": [32, 32, 16]}},
        {"training": {"batch": 4}},
        {"training": {"learning_rate": 0.02}},
        {"protocol": {"kind": "explicit", "splits": SPLITS, "label_ratio": [0.5]}},
    ],
    ids="-".join,
)
def test_the_trial_id_changes_with_what_training_depends_on(world, changes) -> None:
    assert only(plan(world, **changes)).trial_id != only(plan(world)).trial_id


@pytest.mark.parametrize(
    "changes",
    [
        {"data": {"manifest": "elsewhere/other.csv", "cache": "/somewhere"}},
        {"output": "/another/folder"},
        {"name": "renamed"},
        {"output_keep": "all"},
        {"resources": {"gpus_per_trial": 2, "cpus_per_trial": 3, "workers_per_trial": 2}},
        {"selection": ["last"]},
        {"tracking": {"uri": "http://tracking"}},
        {"training": {"checkpoint_every": 7}},
        {"metrics": {"tau_mm": 1.0}},
        {"inference": {"overlap": 0.25}},
        {"methods": [{"name": "mix", "hp": {"alpha": 0.2}}]},
        {"protocol": {"kind": "explicit", "splits": [{"sources": ["C1/T1W"], "targets": ["C2/OOP", "C2/T1W"]}]}},
    ],
    ids="-".join,
)
def test_the_trial_id_does_not_change_with_anything_else(world, changes) -> None:
    assert only(plan(world, **changes)).trial_id == only(plan(world)).trial_id


@pytest.mark.parametrize("field", ["image_sha", "label_sha"])
def test_the_content_of_a_training_case_enters_the_id_and_that_of_a_target_does_not(world, field) -> None:
    cases = world.data_set(12, 2)
    before = only(plan(world, cases))
    for role, changes_id in (("train", True), ("val", True), ("test", False), ("target", False)):
        case_id = getattr(before.split, role)[0]
        after = only(plan(world, with_case(cases, case_id, **{field: "0" * 64})))
        assert (after.trial_id != before.trial_id) is changes_id, role
        if role != "train":
            differing = {k for k in before.score_shas if before.score_shas[k] != after.score_shas[k]}
            assert differing == {case_id}


def test_renaming_every_case_changes_no_trial_id_and_keeps_the_order_of_training(world) -> None:
    cases = world.data_set(12, 2)
    names = {case.case_id: f"{index:04d}" for index, case in enumerate(reversed(cases))}
    before = only(plan(world, cases))
    after = only(plan(world, [replace(case, case_id=names[case.case_id]) for case in cases]))
    assert after.trial_id == before.trial_id
    assert after.split.train == tuple(names[case_id] for case_id in before.split.train)


def test_the_order_of_the_manifest_changes_nothing(world) -> None:
    cases = world.data_set(12, 2)
    assert only(plan(world, cases[::-1])) == only(plan(world, cases))


def test_a_new_target_case_leaves_the_id_and_adds_one_score(world) -> None:
    cases = world.data_set(12, 2)
    before = only(plan(world, cases))
    tested = next(case for case in cases if case.case_id == before.split.target[0])
    after = only(plan(world, [*cases, replace(tested, case_id="new", image_sha="1" * 64)]))
    assert after.trial_id == before.trial_id
    assert set(after.score_shas) - set(before.score_shas) == {"new"}


def test_scoring_options_change_every_score_and_table_options_change_none(world) -> None:
    before = only(plan(world)).score_shas
    assert only(plan(world, metrics={"bootstrap": 500})).score_shas == before
    after = only(plan(world, metrics={"tau_mm": 1.0})).score_shas
    assert all(after[case_id] != before[case_id] for case_id in before)


def test_the_order_of_the_structures_enters_the_id_because_it_numbers_the_classes(world) -> None:
    first, second = ({"a": 1, "b": 2}, {"b": 2, "a": 1})
    assert only(plan(world, labels=first)).trial_id != only(plan(world, labels=second)).trial_id


def test_a_recipe_version_enters_the_id(world) -> None:
    newer = {"erm": replace(world.method("erm"), recipe_version=2)}
    assert only(plan(world, methods=["erm"], declared=newer)).trial_id != only(plan(world, methods=["erm"])).trial_id


def test_every_trial_of_a_sweep_has_its_own_id(world) -> None:
    planned = world.plan(
        methods=["erm", "mix"],
        protocol={"kind": "leave_one_domain_out", "folds": 2, "label_ratio": [0.5, 1.0]},
        search={"trials": 3},
        seeds=[0, 1],
        networks=["nnunet", "tiny"],
    )
    assert len({trial.trial_id for trial in planned.trials}) == len(planned.trials) == 2 * 12 * 2 * 2 * 3 * 2 * 2


def test_trials_of_one_cell_share_its_id_and_other_cells_do_not(world) -> None:
    planned = plan(world, search={"trials": 4}, seeds=[0, 1], methods=["erm", "mix"])
    groups = {(trial.method, trial.seed): trial.cell_id for trial in planned.trials}
    assert len(planned.trials) == 16
    assert len(set(groups.values())) == len({trial.cell_id for trial in planned.trials}) == 4


def test_two_source_sets_with_equal_training_cases_are_still_two_trials(world) -> None:
    roles = {"c1p0": "train", "c1p1": "val"}
    cases = [replace(case, split=roles.get(case.patient_id, "test")) for case in world.data_set(4, 2)]
    pooled = {"sources": ["*/T1W"], "targets": ["C2/T2W"]}
    first, second = plan(world, cases, protocol={"kind": "explicit", "splits": [*SPLITS, pooled]}).trials
    assert first.train_sha == second.train_sha
    assert first.trial_id != second.trial_id
    assert first.cell_id != second.cell_id
