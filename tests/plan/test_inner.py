"""The cells of inner leave-one-domain-out selection."""

import pytest

from dgsweep.errors import PlanError
from dgsweep.plan.forecast import plan_totals

RULE = "inner_leave_one_domain_out"
LODO = {"kind": "leave_one_domain_out"}
SEARCH = {"trials": 3}


def inner(plan):
    return [trial for trial in plan.trials if trial.panel == "inner"]


def small(world):
    return world.data_set(12, 4, ("T1W",))


def test_every_pair_of_domains_is_left_out_once_for_each_trial(world):
    plan = world.plan(small(world), methods=["mix"], protocol=LODO, search=SEARCH, selection=[RULE])
    assert len(plan.compared) == 4 * 3
    assert len(inner(plan)) == 6 * 3  # pairs of four domains, shared by both cells that need them
    assert all(len(trial.sources) == 2 for trial in inner(plan))
    assert all(set(trial.sources) | set(trial.targets) == {f"C{i}/T1W" for i in range(1, 5)} for trial in inner(plan))
    assert plan_totals(plan, {})["of_them_inner_cells"] == 6


def test_inner_trials_have_the_hyperparameters_of_the_trial_that_they_judge(world):
    plan = world.plan(small(world), methods=["mix"], protocol=LODO, search=SEARCH, selection=[RULE])
    drawn = {trial.trial: trial.hp for trial in plan.compared}
    assert all(trial.hp == drawn[trial.trial] for trial in inner(plan))
    assert len({str(hp) for hp in drawn.values()}) == 3


def test_inner_cells_are_scored_on_validation_patients_and_on_nobody_they_trained_on(world):
    cases = world.data_set(12, 2)
    known = {case.case_id: case.patient_id for case in cases}
    plan = world.plan(cases, methods=["mix"], search=SEARCH, selection=[RULE], protocol={"folds": 3})
    roles = plan.splits
    assert inner(plan)
    for trial in inner(plan):
        trained = {known[name] for name in trial.split.train}
        scored = {known[name] for name in trial.split.target}
        assert scored
        assert not trained & scored
        assert {roles[str(trial.fold)][patient] for patient in scored} == {"val"}
        assert trial.split.test == ()
        assert not {trial.domains[name] for name in trial.split.train} & set(trial.targets)


def test_the_rule_moves_no_trial_of_the_methods(world):
    options = {"methods": ["erm", "mix"], "protocol": LODO, "search": SEARCH}
    plain = world.plan(small(world), **options)
    ruled = world.plan(small(world), **options, selection=["source_val", RULE])
    assert [trial.trial_id for trial in ruled.compared] == [trial.trial_id for trial in plain.trials]
    assert len({trial.trial_id for trial in ruled.trials}) == len(ruled.trials)
    assert inner(plain) == []


def test_one_source_domain_is_refused_and_named(world):
    with pytest.raises(PlanError) as error:
        world.plan(protocol={"kind": "single_source"}, selection=[RULE], search=SEARCH)
    assert "C1/T1W is one source domain" in str([problem.found for problem in error.value.problems])


def test_a_method_that_needs_two_domains_is_refused_where_one_would_be_left(world):
    with pytest.raises(PlanError) as error:
        world.plan(
            world.data_set(12, 3, ("T1W",)), methods=["pair"], protocol=LODO, selection=[RULE],
            search=SEARCH, spaces=pair_space(),
        )  # fmt: skip
    assert "it needs at least 2 source domains" in str([problem.found for problem in error.value.problems])


def pair_space():
    from optuna.distributions import FloatDistribution

    from dgsweep.config.search_space import SearchSpace

    rate = FloatDistribution(1e-3, 1e-1, log=True)
    return {"pair": SearchSpace(method="pair", distributions={"training.learning_rate": rate})}


def test_a_search_that_learns_while_it_runs_is_refused(world):
    with pytest.raises(PlanError) as error:
        world.plan(
            small(world), methods=["mix"], protocol=LODO, selection=[RULE], search={"trials": 3, "sampler": "optuna"}
        )
    assert "steers" in str([problem.found for problem in error.value.problems])


def test_cells_of_one_trial_need_no_inner_cell_and_a_note_says_so(world):
    plan = world.plan(small(world), methods=["erm"], protocol=LODO, selection=[RULE])
    assert inner(plan) == []
    assert any("nothing to choose" in note for note in plan.notes)
