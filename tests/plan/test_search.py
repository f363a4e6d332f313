"""Cells whose trials are proposed while the sweep runs: how many, whose ids, and what of an earlier run is theirs."""

import hashlib
import json

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from dgsweep.config.declaration import Hyperparameter, Requires
from dgsweep.config.schema import SweepConfig
from dgsweep.config.search_space import SearchSpace
from dgsweep.errors import PlanError
from dgsweep.plan.file import plan_from_json, plan_to_json
from dgsweep.plan.forecast import plan_table, plan_totals
from dgsweep.plan.proposal import Proposer, with_earlier, with_proposed

OPTUNA = {"trials": 5, "sampler": "optuna"}
ONE_SPLIT = {"kind": "explicit", "splits": [{"sources": ["C1/T1W"], "targets": ["C2/T1W"]}]}


def searched(world, **changes):
    return world.plan(**{"methods": ["mix"], "protocol": ONE_SPLIT, "search": OPTUNA, **changes})


def proposer(world, plan, **sections):
    declared = {"mix": world.method("mix", hyperparameters=MIX), "erm": world.method("erm")}
    config = {"data": {"manifest": "m.csv"}, "methods": ["mix"], "search": OPTUNA, **sections}
    return Proposer(SweepConfig.model_validate(config), plan, declared)


MIX = {
    "alpha": Hyperparameter(default=0.2, low=0.0, high=1.0),
    "layers": Hyperparameter(default=3, low=1, high=8),
}


def test_an_adaptive_sweep_plans_trial_0_of_each_cell_and_counts_the_rest(world) -> None:
    plan = world.plan(methods=["erm", "mix"], seeds=[0, 1], search=OPTUNA)
    cells = {spec.cell_id for spec in plan.trials}
    assert {spec.trial for spec in plan.trials} == {0}
    assert plan.to_propose == dict.fromkeys(cells, 4)
    totals, same = (
        plan_totals(plan, {}),
        plan_totals(world.plan(methods=["erm", "mix"], seeds=[0, 1], search={"trials": 5}), {}),
    )
    assert {key: totals[key] for key in same} == same
    assert totals["to_propose"] == 4 * len(cells)
    assert {(row["trials"], row["to_propose"]) for row in plan_table(plan.trials, plan.to_propose)} == {(5, 4)}


def test_ids_and_hyperparameters_of_planned_sweeps_are_as_they_ever_were(world) -> None:
    found = {}
    for sampler in ("random", "grid"):
        for scheduler in ("none", "asha"):
            plan = world.plan(methods=["erm", "mix"], search={"trials": 4, "sampler": sampler, "scheduler": scheduler})
            values = [[spec.trial_id, dict(spec.hp), dict(spec.training)] for spec in plan.trials]
            found[sampler, scheduler] = hashlib.sha256(json.dumps(values).encode()).hexdigest()[:16], plan.plan_id
    assert found["random", "none"] == found["random", "asha"] == PINNED["random"]
    assert found["grid", "none"] == found["grid", "asha"] == PINNED["grid"]


def test_the_defaults_of_an_adaptive_sweep_are_those_of_any_other(world) -> None:
    planned = searched(world, search={"trials": 5})
    assert [spec.trial_id for spec in searched(world).trials] == [planned.trials[0].trial_id]


def test_a_method_without_a_search_space_gets_trial_0_and_a_note(world) -> None:
    plan = searched(world, methods=["both", "mix"])
    assert len(plan.to_propose) == 1
    assert "both: 1 of 5 trials a cell, because it has no search space" in plan.notes


def test_a_fixed_hyperparameter_is_not_searched(world) -> None:
    plan = searched(world, methods=[{"name": "mix", "hp": {"alpha": 0.5}}])
    assert plan.to_propose == {}
    assert searched(world).searches[0].distributions == {"alpha": FloatDistribution(0.0, 1.0)}


@pytest.mark.parametrize(
    ("space", "trials"),
    [
        ({"layers": IntDistribution(1, 2)}, 3),  # and the defaults, 3 layers
        ({"layers": IntDistribution(2, 3)}, 2),  # the defaults are one of them
        ({"layers": IntDistribution(1, 2), "alpha": CategoricalDistribution([0.1, 0.2])}, 5),
        ({"alpha": FloatDistribution(0.0, 1.0)}, 20),
    ],
)
def test_a_finite_space_has_as_many_trials_as_it_has_points(world, space, trials) -> None:
    spaces = {"mix": SearchSpace(method="mix", distributions=space)}
    plan = searched(world, spaces=spaces, search={"trials": 20, "sampler": "optuna"})
    assert [search.trials for search in plan.searches] == [trials]
    assert any("its search space has no more" in note for note in plan.notes) == (trials < 20)


@pytest.mark.parametrize(
    "search", [{"sampler": "optuna"}, {"scheduler": "asha"}, {"sampler": "grid", "scheduler": "asha"}]
)
def test_without_validation_a_search_that_is_steered_by_it_is_refused(world, search) -> None:
    few = world.data_set(2, 2)
    with pytest.raises(PlanError, match=r"fewer than 3 patients.*is steered by it") as refused:
        searched(world, cases=few, search={"trials": 3, **search})
    assert refused.value.exit_code == 2


@pytest.mark.parametrize("search", [{"trials": 3}, {"trials": 1, "sampler": "optuna", "scheduler": "asha"}])
def test_without_validation_a_search_that_is_planned_is_not(world, search) -> None:
    assert searched(world, cases=world.data_set(2, 2), search=search).trials


def test_a_first_rung_at_the_end_of_the_budget_is_noted(world) -> None:
    late = searched(world, budget={"steps": 100}, search={"trials": 3, "scheduler": "asha", "min_steps": 100})
    early = searched(world, budget={"steps": 100}, search={"trials": 3, "scheduler": "asha"})
    assert [any("stops nothing" in note for note in plan.notes) for plan in (late, early)] == [True, False]


def test_a_zero_shot_method_is_not_searched(world) -> None:
    free = world.method(
        "free", hyperparameters=MIX, requires=Requires(trainable=False, prompts="box", protocols=("per_slice_box",))
    )
    spaces = {"free": SearchSpace(method="free", distributions={"alpha": FloatDistribution(0.0, 1.0)})}
    plan = searched(world, methods=["free", "erm"], declared={"free": free}, spaces=spaces)
    assert plan.searches == ()
    assert any(note.startswith("free: 1 of 5 trials a cell") for note in plan.notes)


def test_a_proposal_has_the_id_that_a_planned_trial_with_its_values_has(world) -> None:
    planned = searched(world, search={"trials": 5}).trials
    plan = searched(world)
    made = proposer(world, plan)
    (cell,) = plan.to_propose
    assert [made.trial(cell, index, made.draw(cell, index)) for index in range(1, 5)] == list(planned[1:])
    assert made.trial(cell, 1, {"alpha": 0.123}) not in planned


def test_what_an_earlier_run_proposed_is_part_of_the_plan_again_and_fills_its_budget(world) -> None:
    plan = searched(world)
    made = proposer(world, plan)
    (cell,) = plan.to_propose
    earlier = [made.trial(cell, index, {"alpha": index / 9}) for index in (1, 2, 3)]
    again = with_earlier(plan, made, [*plan.trials, *earlier])
    assert again.trials == (*plan.trials, *earlier)
    assert again.to_propose == {cell: 1}
    assert again.plan_id == plan.plan_id
    assert with_earlier(again, made, earlier) == again
    smaller = searched(world, search={"trials": 3, "sampler": "optuna"})
    assert with_earlier(smaller, proposer(world, smaller), earlier).trials == (*plan.trials, *earlier[:2])


@pytest.mark.parametrize(
    "changes",
    [
        {"methods": [{"name": "mix", "hp": {"layers": 5}}]},
        {"seeds": [1]},
        {"training": {"learning_rate": 0.5}},
        {"spaces": {"mix": SearchSpace(method="mix", distributions={"alpha": FloatDistribution(0.0, 0.05)})}},
    ],
)
def test_trials_of_another_cell_or_space_are_not(world, changes) -> None:
    plan = searched(world)
    made = proposer(world, plan)
    (cell,) = plan.to_propose
    earlier = [made.trial(cell, 1, {"alpha": 0.1})]
    other = searched(world, **changes)
    sections = {key: value for key, value in changes.items() if key != "spaces"}
    assert with_earlier(other, proposer(world, other, **sections), earlier) == other


def test_two_earlier_trials_of_one_number_both_stay(world) -> None:
    plan = searched(world)
    made = proposer(world, plan)
    (cell,) = plan.to_propose
    twins = [made.trial(cell, 1, {"alpha": value}) for value in (0.3, 0.4)]
    again = with_earlier(plan, made, twins)
    assert {spec.trial_id for spec in again.trials[1:]} == {spec.trial_id for spec in twins}
    assert [spec.trial for spec in again.trials] == [0, 1, 2]


def test_the_plan_id_follows_what_is_searched(world) -> None:
    ids = {
        searched(world).plan_id,
        searched(world, search={"trials": 6, "sampler": "optuna"}).plan_id,
        searched(world, search={"trials": 1}).plan_id,
    }
    assert len(ids) == 3


def test_a_searched_plan_survives_its_file(world) -> None:
    spaces = {"mix": SearchSpace(method="mix", distributions={"alpha": CategoricalDistribution([0.1, 0.2])})}
    plan = searched(world, spaces=spaces)
    (cell,) = plan.to_propose
    plan = with_proposed(plan, [proposer(world, plan).trial(cell, 1, {"alpha": "0.1"})])
    again = plan_from_json(json.loads(json.dumps(plan_to_json(plan))))
    assert again == plan
    assert again.trials[1].hp["alpha"] == 0.1
    assert "searches" not in plan_to_json(searched(world, search={"trials": 5}))


PINNED = {"random": ("7208b005ddb8b3cb", "233825cefe8869b6"), "grid": ("ebd90ec856358603", "65f5cf8d442aa9bc")}
"""Hashes of ids and values, and plan ids, from before adaptive search existed."""
