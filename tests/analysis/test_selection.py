import dataclasses

import pandas as pd
import pytest

from dgsweep.analysis.selection import select, selected_cases
from dgsweep.errors import InputError
from dgsweep.plan.trial import Plan, Preprocessing, Setting, Split, TrialSpec

SPEC = TrialSpec(
    trial_id="t0", cell_id="cell", sweep="s", method="gin", recipe_version=1, setting=Setting(), hp={}, network="n",
    network_recipe=1, network_options={}, sources=("C1/T1W",), targets=("C2/T2W",), sources_label="T1W", fold=0, seed=0,
    trial=0, budget_steps=10,
    preprocessing=Preprocessing(spacing_mm=(1, 1, 1), patch=(8, 8, 8), labels={"pancreas": 1}),
    training={}, inference={}, metrics={}, output_keep="none", split=Split(train=(), val=(), test=(), target=()),
    domains={}, score_shas={}, train_sha="x",
)  # fmt: skip
NO_CURVES = pd.DataFrame(columns=["trial_id", "step", "role", "domain", "metric", "value"])


@pytest.fixture
def plan():
    trials = tuple(dataclasses.replace(SPEC, trial_id=f"t{i}", trial=i) for i in range(3))
    return Plan(sweep="s", config={}, trials=trials)


@pytest.fixture
def cases(rows):
    """t1 is best on validation, t2 on the target."""
    dice = {"t0": (0.6, 0.1), "t1": (0.8, 0.2), "t2": (0.7, 0.9)}
    filled = []
    for trial, (val, target) in dice.items():
        filled += [{"trial_id": trial, "role": "val", "dice": val}, {"trial_id": trial, "case_id": "b", "dice": target}]
    return rows(*filled)


def test_source_val_chooses_by_source_validation_and_never_by_the_target(plan, cases):
    assert select("source_val", plan, cases, NO_CURVES) == {"cell": "t1"}
    cases.loc[cases["role"] == "target", "dice"] = 0.0
    assert select("source_val", plan, cases, NO_CURVES) == {"cell": "t1"}


def test_oracle_chooses_by_the_target_and_its_rows_are_marked(plan, cases):
    chosen = selected_cases("oracle_target", plan, cases, NO_CURVES)
    assert set(chosen["trial_id"]) == {"t2"}
    assert set(chosen["panel"]) == {"oracle"}
    assert set(selected_cases("source_val", plan, cases, NO_CURVES)["panel"]) == {"main"}


def test_last_takes_the_defaults_and_nothing_when_they_did_not_finish(plan, cases):
    assert select("last", plan, cases, NO_CURVES) == {"cell": "t0"}
    assert select("last", plan, cases[cases["trial_id"] != "t0"], NO_CURVES) == {}


def test_curve_speaks_where_no_validation_case_was_scored(plan, cases):
    points = [("t0", 5, 0.99), ("t0", 10, 0.5), ("t1", 10, 0.4), ("t2", 10, 0.6)]
    curves = pd.DataFrame(
        [(trial, step, "val", "all", "dice", value) for trial, step, value in points], columns=NO_CURVES.columns
    )
    assert select("source_val", plan, cases[cases["role"] != "val"], curves) == {"cell": "t2"}


def test_ties_go_to_the_lower_trial(plan, cases):
    cases["dice"] = 0.5
    assert select("source_val", plan, cases, NO_CURVES) == {"cell": "t0"}


def test_a_cell_of_one_trial_needs_no_validation_score(plan, cases):
    one = dataclasses.replace(plan, trials=plan.trials[:1])
    assert select("source_val", one, cases[cases["role"] == "target"], NO_CURVES) == {"cell": "t0"}


def test_unknown_rule_is_refused_with_the_known_ones(plan, cases):
    with pytest.raises(InputError, match="source_val, inner_leave_one_domain_out, last, oracle_target"):
        select("best", plan, cases, NO_CURVES)
