"""From configuration and cases to trials."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import FloatDistribution

from dgsweep.config.declaration import Requires
from dgsweep.config.search_space import SearchSpace
from dgsweep.errors import PlanError
from dgsweep.plan.forecast import plan_table, plan_totals
from dgsweep.plan.split import unit_hash

KINDS = ["in_domain", "cross_center", "cross_sequence", "single_source", "leave_one_domain_out"]


def patients(cases, case_ids) -> set[str]:
    known = {case.case_id: case.patient_id for case in cases}
    return {known[case_id] for case_id in case_ids}


@pytest.mark.parametrize(("kind", "cells"), list(zip(KINDS, [12, 12, 3, 12, 12], strict=True)))
def test_the_plan_has_the_cells_of_the_table_for_each_method(world, kind, cells) -> None:
    planned = world.plan(methods=["erm", "mix"], protocol={"kind": kind})
    assert len(plan_table(planned.trials)) == len(planned.trials) == 2 * cells


@settings(deadline=None, max_examples=25)
@given(
    kind=st.sampled_from(KINDS),
    folds=st.integers(1, 4),
    ratio=st.sampled_from([0.3, 1.0]),
    target_cases=st.sampled_from(["test", "all"]),
)
def test_no_patient_is_on_both_sides_of_any_split(world, kind, folds, ratio, target_cases) -> None:
    cases = world.data_set(16, 2)
    protocol = {"kind": kind, "folds": folds, "label_ratio": [ratio], "target_cases": target_cases}
    planned = world.plan(cases, protocol=protocol)
    for trial in planned.trials:
        train, val = patients(cases, trial.split.train), patients(cases, trial.split.val)
        scored = patients(cases, (*trial.split.test, *trial.split.target))
        assert train
        assert not train & val
        assert not (train | val) & scored
        assert not set(trial.split.test) & set(trial.split.target)


def test_sources_train_and_targets_are_only_scored(world) -> None:
    for trial in world.plan(protocol={"kind": "cross_sequence"}).trials:
        trained = {trial.domains[case_id] for case_id in (*trial.split.train, *trial.split.val, *trial.split.test)}
        assert trained <= set(trial.sources)
        assert {trial.domains[case_id] for case_id in trial.split.target} <= set(trial.targets)


def test_all_columns_rest_on_test_patients_unless_all_target_cases_are_asked_for(world) -> None:
    cases = world.data_set(16, 2, ("T1W",))
    roles = world.plan(cases, protocol={"kind": "cross_center"}).splits["0"]
    for asked in ("test", "all"):
        planned = world.plan(cases, protocol={"kind": "cross_center", "target_cases": asked})
        for trial in planned.trials:
            seen = patients(cases, trial.split.target)
            assert all(roles[patient] == "test" for patient in patients(cases, trial.split.test))
            assert (seen == {p for p in roles if p[:2] != trial.sources[0][:2].lower()}) is (asked == "all")
            assert all(roles[patient] == "test" for patient in seen) is (asked == "test")


def test_unlabelled_cases_are_never_trained_on_or_scored(world) -> None:
    cases = world.data_set()
    cases = [replace(case, labelled=index % 3 > 0) for index, case in enumerate(cases)]
    bare = {case.case_id for case in cases if not case.labelled}
    planned = world.plan(cases, protocol={"kind": "explicit", "splits": [{"sources": ["*/T1W"], "targets": ["*/T2W"]}]})
    for trial in planned.trials:
        assert not bare & set(trial.domains)


def test_a_source_domain_without_any_label_is_refused(world) -> None:
    cases = [replace(case, labelled=case.domain(("center", "sequence")) != "C2/T1W") for case in world.data_set()]
    with pytest.raises(PlanError, match="no case of C2/T1W has a label"):
        world.plan(cases)


@pytest.mark.parametrize("role", ["train", "val"])
def test_label_ratios_are_nested_by_patient_in_hash_order_and_rounded_up(world, role) -> None:
    cases = world.data_set(24, 1, ("T1W", "T2W"))
    planned = world.plan(cases, protocol={"kind": "single_source", "label_ratio": [0.1, 0.5, 1.0]})
    chosen = {
        t.setting.label_ratio: patients(cases, getattr(t.split, role))
        for t in planned.trials
        if t.sources == ("C1/T1W",)
    }
    full = sorted(chosen[1.0], key=lambda patient: unit_hash(patient, salt="label\0"))
    assert chosen[0.1] == set(full[: -(-len(full) // 10)])
    assert chosen[0.5] == set(full[: -(-len(full) // 2)])
    assert chosen[0.1] <= chosen[0.5] < chosen[1.0]


def test_the_label_ratio_moves_no_scored_case(world) -> None:
    planned = world.plan(
        world.data_set(16), protocol={"kind": "cross_sequence", "label_ratio": [0.5, 1.0], "target_cases": "all"}
    )
    by_sources = {}
    for trial in planned.trials:
        by_sources.setdefault(trial.sources, set()).add((trial.split.test, trial.split.target))
    assert [len(found) for found in by_sources.values()] == [1, 1, 1]


def draws(planned, method):
    return {(t.trial, t.hp["alpha"]) for t in planned.trials if t.method == method}


def test_draws_do_not_move_when_a_method_a_seed_a_fold_or_a_target_is_added(world) -> None:
    base = draws(world.plan(methods=["mix"], search={"trials": 5}), "mix")
    assert len(base) == 5
    for changes in (
        {"methods": ["erm", "mix"]},
        {"methods": ["mix"], "seeds": [0, 1]},
        {"methods": ["mix"], "protocol": {"kind": "cross_sequence", "folds": 2}},
        {"methods": ["mix"], "protocol": {"kind": "single_source"}},
    ):
        assert draws(world.plan(search={"trials": 5}, **changes), "mix") == base
    assert draws(world.plan(methods=["mix"], search={"trials": 6}), "mix") > base


def test_adding_a_method_or_a_seed_changes_no_trial_that_was_there(world) -> None:
    before = {t.trial_id for t in world.plan(methods=["mix"], search={"trials": 3}).trials}
    after = {t.trial_id for t in world.plan(methods=["erm", "mix"], search={"trials": 3}, seeds=[5, 0]).trials}
    assert before < after


def test_the_defaults_of_all_methods_run_first(world) -> None:
    trials = world.plan(methods=["mix", "erm"], search={"trials": 3}).trials
    assert [trial.trial for trial in trials] == sorted(trial.trial for trial in trials)
    assert {trial.method for trial in trials if trial.trial == 0} == {"mix", "erm"}
    assert all(trial.hp["alpha"] == 0.2 for trial in trials if trial.trial == 0 and trial.method == "mix")


def test_a_value_fixed_in_the_sweep_file_is_not_drawn(world) -> None:
    planned = world.plan(methods=[{"name": "mix", "hp": {"alpha": 0.7}}], search={"trials": 5})
    assert {(trial.trial, trial.hp["alpha"]) for trial in planned.trials} == {(0, 0.7)}
    assert "mix: 1 of 5 trials a cell, because it has no search space" in planned.notes


def test_a_drawn_training_field_enters_the_recipe_of_its_trial_only(world) -> None:
    trials = world.plan(search={"trials": 2}).trials
    rates = {trial.trial: trial.training["learning_rate"] for trial in trials}
    assert rates[0] == 0.01
    assert rates[1] != 0.01
    assert 1e-3 <= rates[1] <= 1e-1
    assert len({trial.cell_id for trial in trials}) == 3


@pytest.mark.parametrize(("optimizer", "rate"), [("sgd", 1e-2), ("adamw", 1e-3)])
def test_missing_training_values_are_resolved(world, optimizer, rate) -> None:
    planned = world.plan(training={"optimizer": optimizer}, budget={"steps": 25_000})
    for training in (planned.trials[0].training, planned.config["training"]):
        assert (training["learning_rate"], training["eval_every"], training["checkpoint_every"]) == (rate, 2500, 1000)


def test_every_wrong_hyperparameter_is_reported_with_what_is_allowed(world) -> None:
    wrong = {"alhpa": 0.1, "alpha": 1.5, "layers": 2.5}
    with pytest.raises(PlanError) as caught:
        world.plan(methods=[{"name": "mix", "hp": wrong}, "emr"], networks=[{"name": "tny"}])
    assert [(problem.where, problem.fix) for problem in caught.value.problems] == [
        ("methods.0.hp.alhpa", "did you mean `alpha`?"),
        ("methods.0.hp.alpha", "must lie in [0, 1]"),
        ("methods.0.hp.layers", "must be a whole number"),
        ("methods.1.name", "did you mean `erm`?"),
        ("networks.0.name", "did you mean `tiny`?"),
    ]


def test_a_search_space_outside_of_the_method_is_refused(world) -> None:
    space = SearchSpace(method="mix", distributions={"alpha": FloatDistribution(0, 2), "beta": FloatDistribution(0, 1)})
    with pytest.raises(PlanError) as caught:
        world.plan(methods=["mix"], spaces={"mix": space})
    assert [problem.where for problem in caught.value.problems] == [
        "search space of mix: alpha",
        "search space of mix: beta",
    ]


def test_the_same_method_twice_needs_variants_to_be_told_apart(world) -> None:
    twice = [{"name": "mix"}, {"name": "mix", "hp": {"alpha": 0.5}}]
    with pytest.raises(PlanError, match="give each its own `variant`"):
        world.plan(methods=twice)
    twice[1]["variant"] = "half"
    assert len(plan_table(world.plan(methods=twice).trials)) == 6


def test_a_method_with_variants_runs_as_its_first_unless_told_otherwise(world) -> None:
    plain, named, other = (
        {trial.trial_id for trial in world.plan(methods=[{"name": "both", **wanted}]).trials}
        for wanted in ({}, {"variant": "paper"}, {"variant": "as_shipped"})
    )
    assert plain == named
    assert not plain & other
    with pytest.raises(PlanError, match="did you mean `as_shipped`"):
        world.plan(methods=[{"name": "both", "variant": "as_shiped"}])
    with pytest.raises(PlanError, match="stands twice"):
        world.plan(methods=["both", {"name": "both", "variant": "paper"}])


def test_a_batch_that_workers_cannot_share_is_refused_with_the_next_that_they_can(world) -> None:
    with pytest.raises(PlanError, match=r"set training\.batch to 4"):
        world.plan(training={"batch": 3}, resources={"workers_per_trial": 2})
    assert world.plan(training={"batch": 4}, resources={"workers_per_trial": 2}).trials


def test_a_batch_that_cannot_hold_the_domains_that_a_method_compares_is_refused(world) -> None:
    declared = {"gap": world.method("gap", requires=Requires(min_batch_domains=2))}
    two_workers = {"workers_per_trial": 2}
    with pytest.raises(PlanError, match=r"training.batch for gap: a batch of 1 cannot .* set training.batch .* 2"):
        world.plan(declared=declared, methods=["erm", "gap"], training={"batch": 1})
    with pytest.raises(PlanError, match=r"a batch of 2 shared by 2 workers cannot .* set training.batch .* 4"):
        world.plan(declared=declared, methods=["erm", "gap"], training={"batch": 2}, resources=two_workers)
    assert world.plan(declared=declared, methods=["gap"], training={"batch": 2}).trials
    assert world.plan(declared=declared, methods=["gap"], training={"batch": 4}, resources=two_workers).trials
    assert world.plan(declared=declared, methods=["erm"], training={"batch": 1}).trials


def test_a_cell_whose_needs_the_split_cannot_meet_is_refused_with_the_reason(world) -> None:
    planned = world.plan(methods=["erm", "pair"], protocol={"kind": "single_source"})
    assert {trial.method for trial in planned.trials} == {"erm"}
    assert len(planned.refusals) == 12
    assert "at least 2 source domains with training cases; here: 1 (C1/OOP)" in planned.refusals[0].reason


def test_a_method_that_adapts_norms_is_refused_on_a_network_without_their_parameters(world) -> None:
    planned = world.plan(methods=["norms"], networks=["nnunet", "tiny"])
    assert {trial.network for trial in planned.trials} == {"nnunet"}
    assert {refusal.network for refusal in planned.refusals} == {"tiny"}
    assert "those of tiny have none" in planned.refusals[0].reason


@pytest.mark.parametrize(("shape", "refused"), [((96, 80, 1), {"deep"}), ((1, 80, 48), {"deep", "flat"})])
def test_scans_of_one_slice_are_refused_to_networks_that_need_more_along_that_axis(world, shape, refused) -> None:
    networks = {"deep": world.network("deep"), "flat": world.network("flat", dims=2)}
    cases = [replace(case, shape=shape) for case in world.data_set()]
    if refused == set(networks):
        with pytest.raises(PlanError, match="has one along x"):
            world.plan(
                cases=cases,
                backbones=networks,
                networks=list(networks),
                data={"manifest": "m.csv", "patch": [32, 32, 1]},
            )
        return
    planned = world.plan(
        cases=cases, backbones=networks, networks=list(networks), data={"manifest": "m.csv", "patch": [32, 32, 1]}
    )
    assert {refusal.network for refusal in planned.refusals} == refused
    assert "choose a 2D network" in planned.refusals[0].reason
    assert {trial.network for trial in planned.trials} == set(networks) - refused
    whole = world.plan(backbones=networks, networks=list(networks), data={"manifest": "m.csv", "patch": [32, 32, 1]})
    assert not whole.refusals


@pytest.mark.parametrize(
    ("changes", "patch", "found", "nearest"),
    [
        ({"patch_multiple": (8, 8, 4)}, [12, 8, 4], "needs multiples of", [16, 8, 4]),
        ({"least_patch": (16, 16, 4)}, [8, 32, 4], "needs at least", [16, 32, 4]),
        ({"patch_multiple": (8, 8, 4), "least_voxels": 2}, [8, 8, 4], "keeps 1 voxel", [16, 8, 4]),
    ],
)
def test_a_patch_that_the_network_cannot_take_is_refused_with_the_nearest(
    world, changes, patch, found, nearest
) -> None:
    networks = {"picky": world.network("picky", **changes)}
    with pytest.raises(PlanError, match=found) as error:
        world.plan(backbones=networks, networks=["picky"], data={"manifest": "m.csv", "patch": patch})
    assert f"the nearest patch is {nearest}" in str(error.value)
    assert world.plan(backbones=networks, networks=["picky"], data={"manifest": "m.csv", "patch": nearest}).trials
    planned = world.plan(backbones=networks, networks=["picky"])
    own = list(planned.trials[0].preprocessing.patch)
    assert world.plan(backbones=networks, networks=["picky"], data={"manifest": "m.csv", "patch": own}).trials


@pytest.mark.parametrize(
    ("dims", "halvings", "patch"), [(3, 4, (112, 80, 48)), (3, 0, (116, 92, 52)), (2, 4, (112, 80, 52))]
)
def test_a_network_that_pools_whole_sides_only_is_planned_on_sides_that_can_be_halved(
    world, dims, halvings, patch
) -> None:
    pooled = world.network("pooled", patch_multiple=(4, 4, 4), planned_halvings=halvings, dims=dims)
    cases = [replace(case, shape=(116, 92, 52)) for case in world.data_set()]
    planned = world.plan(cases=cases, backbones={"pooled": pooled}, networks=["pooled"])
    assert {trial.preprocessing.patch for trial in planned.trials} == {patch}


def test_a_method_that_follows_validation_is_refused_where_there_is_too_little_of_it(world) -> None:
    declared = {"swad": world.method("swad", requires=Requires(min_validations=5))}
    rough = {"budget": {"steps": 500}, "training": {"eval_every": 250}}
    planned = world.plan(declared=declared, methods=["erm", "swad"], **rough)
    assert {refusal.method for refusal in planned.refusals} == {"swad"}
    assert "at least 5 of them, here 2; set training.eval_every to 100 or less" in planned.refusals[0].reason
    fine = {"budget": {"steps": 500}, "training": {"eval_every": 100}}
    assert not world.plan(declared=declared, methods=["erm", "swad"], **fine).refusals
    few = world.data_set(patients=2, centers=1)
    assert (
        "no validation patient"
        in world.plan(few, declared=declared, methods=["erm", "swad"], **fine).refusals[0].reason
    )


def test_a_method_that_averages_weights_is_refused_on_a_network_with_batch_norms(world) -> None:
    declared = {"swad": world.method("swad", requires=Requires(no_batch_norms=True))}
    backbones = {"batch": world.network("batch", batch_norms=True)}
    planned = world.plan(declared=declared, backbones=backbones, methods=["swad"], networks=["batch", "nnunet"])
    assert {refusal.network for refusal in planned.refusals} == {"batch"}
    assert {trial.network for trial in planned.trials} == {"nnunet"}


def test_a_plan_says_which_methods_learn_from_the_test_case_itself(world) -> None:
    declared = {"tta": world.method("tta", requires=Requires(test_time=True))}
    planned = world.plan(declared=declared, methods=["erm", "tta"])
    assert planned.notes[-1].startswith("tta changes the network for each test case")
    assert not any("test case" in note for note in world.plan(methods=["erm"]).notes)


def test_the_same_method_is_planned_where_the_sources_suffice(world) -> None:
    planned = world.plan(methods=["pair"], protocol={"kind": "cross_sequence"})
    assert (len(planned.trials), planned.refusals) == (3, ())


@pytest.mark.parametrize(
    "needs",
    [Requires(unlabelled="source"), Requires(prompts="box"), Requires(phase="pretrain")],
)
def test_a_sweep_in_which_everything_is_refused_is_an_error_with_the_reasons(world, needs) -> None:
    with pytest.raises(PlanError, match="every cell of the sweep sweep is refused"):
        world.plan(methods=["other"], declared={"other": world.method("other", requires=needs)})


def test_a_method_that_reads_the_target_stands_in_the_oracle_panel(world) -> None:
    declared = {"other": world.method("other", requires=Requires(reads_target=True))}
    planned = world.plan(methods=["other"], declared=declared)
    assert {trial.panel for trial in planned.trials} == {"oracle"}


def test_one_patient_in_all_is_refused(world) -> None:
    with pytest.raises(PlanError, match="they pool to 1 labelled patient"):
        world.plan([world.case("p", "C1", "T1W")], protocol={"kind": "in_domain"})


def test_fewer_than_three_patients_allow_the_rule_last_only(world) -> None:
    cases = world.data_set(2, 1, ("T1W",))
    with pytest.raises(PlanError, match=r"set selection: \[last\]"):
        world.plan(cases, protocol={"kind": "in_domain"}, selection=["source_val"])
    planned = world.plan(cases, protocol={"kind": "in_domain"}, selection=["last"])
    assert (len(planned.trials[0].split.train), planned.trials[0].split.val, len(planned.trials[0].split.test)) == (
        1,
        (),
        1,
    )
    assert "only the rule `last` is allowed" in planned.notes[0]


def test_without_validation_the_default_rule_gives_way_to_last_and_the_plan_says_so(world) -> None:
    planned = world.plan(world.data_set(2, 1, ("T1W",)), protocol={"kind": "in_domain"})
    assert list(planned.config["selection"]) == ["last"]
    assert "the rule `last` takes the place of the default" in planned.notes[0]
    with_validation = world.plan(world.data_set(12, 1, ("T1W",)), protocol={"kind": "in_domain"})
    assert list(with_validation.config["selection"]) == ["source_val"]


def test_the_spacing_is_the_median_of_the_training_cases_only(world) -> None:
    cases = world.data_set(12, 1, ("T1W", "T2W"))
    cases = [replace(c, spacing_mm=(1.0, 1.5, 4.0) if c.sequence == "T1W" else (9.0, 9.0, 9.0)) for c in cases]
    trial = next(t for t in world.plan(cases, protocol={"kind": "cross_sequence"}).trials if t.sources_label == "T1W")
    assert trial.preprocessing.spacing_mm == (1.0, 1.5, 4.0)
    unlike = {*trial.split.val, *trial.split.test}
    moved = [replace(case, spacing_mm=(7.0, 7.0, 7.0)) if case.case_id in unlike else case for case in cases]
    again = next(t for t in world.plan(moved, protocol={"kind": "cross_sequence"}).trials if t.sources_label == "T1W")
    assert again.preprocessing == trial.preprocessing


@pytest.mark.parametrize(
    ("shape", "spacing", "patch"),
    [
        ((96, 80, 48), None, (96, 80, 48)),
        ((100, 90, 50), None, (96, 80, 48)),
        ((100, 90, 50), [6, 6, 6], (48, 32, 24)),  # 50, 45, 25 voxels, floored to 16, 16, 8
        ((10, 10, 5), None, (16, 16, 8)),
        ((400, 400, 40), None, (128, 128, 40)),
        ((400, 400, 400), None, (96, 96, 112)),  # 128^3 loses from the longest side until it has 128*128*64 voxels
    ],
)
def test_the_patch_is_the_median_shape_capped_and_floored_to_the_network(world, shape, spacing, patch) -> None:
    cases = [replace(case, shape=shape) for case in world.data_set()]
    data = {"manifest": "m.csv", "spacing_mm": spacing}
    assert world.plan(cases, data=data).trials[0].preprocessing.patch == patch


def test_a_patch_that_the_network_cannot_take_is_refused_with_the_nearest_one(world) -> None:
    with pytest.raises(PlanError, match=r"the nearest patch is \[64, 80, 24\]"):
        world.plan(data={"manifest": "m.csv", "patch": [60, 72, 20]})
    assert world.plan(data={"manifest": "m.csv", "patch": [60, 72, 20]}, networks=["tiny"]).trials


def test_the_official_split_is_honoured_by_every_trial(world) -> None:
    roles = ["train", "train", "val", "test"]
    cases = [replace(c, split=roles[int(c.patient_id[3:]) % 4]) for c in world.data_set(8, 2)]
    official = {case.case_id: case.split for case in cases}
    for trial in world.plan(cases).trials:
        for role in ("train", "val", "test"):
            assert {official[case_id] for case_id in getattr(trial.split, role)} == {role}
        assert {official[case_id] for case_id in trial.split.target} == {"test"}


def test_totals_count_trials_steps_and_forward_passes(world) -> None:
    costly = replace(world.method("erm"), forward_passes_per_step=2.0)
    planned = world.plan(search={"trials": 2}, budget={"steps": 10}, training={"batch": 4})
    totals = plan_totals(planned, {"erm": costly})
    assert (totals["cells"], totals["trials"], totals["steps"], totals["forward_passes"]) == (3, 6, 60, 120)


def test_a_method_that_denoises_is_refused_on_a_network_that_does_not(world) -> None:
    planned = world.plan(methods=["noise", "erm"], networks=["tiny", "denoiser"])
    assert {(spec.method, spec.network) for spec in planned.trials} == {
        ("noise", "denoiser"), ("erm", "tiny"), ("erm", "denoiser"),
    }  # fmt: skip
    (reason,) = {refusal.reason for refusal in planned.refusals}
    assert reason == "it needs a network that removes noise from a mask, such as medsegdiff, and tiny does not"
