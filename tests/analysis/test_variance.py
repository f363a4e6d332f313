import math

import numpy as np
import pandas as pd
import pytest

from dgsweep.analysis.variance import _same_groups, moment_estimates, variance_components, variance_summary


def crossed(sizes):
    """Codes of a full factorial design, each (n,)."""
    return {name: grid.ravel() for name, grid in zip(sizes, np.indices(tuple(sizes.values())), strict=True)}


def simulate(codes, sds, rest, rng):
    size = len(next(iter(codes.values())))
    effects = [rng.normal(0, sds[name], own.max() + 1)[own] for name, own in codes.items()]
    return 0.5 + sum(effects) + rng.normal(0, rest, size)


SDS = {"seed": 0.05, "patient": 0.10, "hyperparameters": 0.02}


def test_two_way_components_are_those_of_the_anova_table():
    """Mean squares by hand: s_a = (MS_a - MS_e) / b, s_b = (MS_b - MS_e) / a."""
    y = np.random.default_rng(0).normal(size=(4, 7)) + np.arange(7)
    rows, columns = y.mean(axis=1, keepdims=True), y.mean(axis=0, keepdims=True)
    error = ((y - rows - columns + y.mean()) ** 2).sum() / (3 * 6)
    a = (7 * ((rows - y.mean()) ** 2).sum() / 3 - error) / 7
    b = (4 * ((columns - y.mean()) ** 2).sum() / 6 - error) / 4
    found = moment_estimates(y.ravel(), crossed({"a": 4, "b": 7}))
    assert (found["a"], found["b"], found["rest"]) == pytest.approx((a, b, error))


def test_a_component_that_is_not_there_may_come_out_below_zero_and_is_not_hidden():
    codes = crossed({"a": 4, "b": 7})
    rng = np.random.default_rng(0)
    found = [moment_estimates(rng.normal(size=28), codes)["a"] for _ in range(200)]
    assert min(found) < 0
    assert abs(np.mean(found)) < 0.05


def test_estimates_are_right_on_the_average_of_many_simulations_with_known_components():
    rng = np.random.default_rng(7)
    codes = crossed({"seed": 5, "patient": 12, "hyperparameters": 4})
    found = [moment_estimates(simulate(codes, SDS, 0.04, rng), codes) for _ in range(400)]
    for name, sd in {**SDS, "rest": 0.04}.items():
        assert np.mean([one[name] for one in found]) == pytest.approx(sd**2, rel=0.12)


def test_estimates_are_right_with_missing_trials_and_patients_nested_in_folds():
    rng = np.random.default_rng(8)
    whole = crossed({"seed": 4, "patient": 20, "hyperparameters": 3})
    codes = {**whole, "fold": whole["patient"] % 5}
    kept = rng.random(len(codes["seed"])) < 0.7
    codes = {name: own[kept] for name, own in codes.items()}
    sds = {**SDS, "fold": 0.08}
    found = [moment_estimates(simulate(codes, sds, 0.04, rng), codes) for _ in range(600)]
    for name, sd in {**sds, "rest": 0.04}.items():
        assert np.mean([one[name] for one in found]) == pytest.approx(sd**2, rel=0.15)


def test_adding_a_constant_changes_no_component():
    rng = np.random.default_rng(9)
    codes = crossed({"seed": 3, "patient": 8})
    values = rng.normal(size=24)
    first, second = moment_estimates(values, codes), moment_estimates(values + 1000, codes)
    assert first == pytest.approx(second, abs=1e-9)


def test_factors_that_are_one_and_the_same_have_no_components():
    codes = crossed({"seed": 3, "patient": 8})
    found = moment_estimates(np.random.default_rng(0).normal(size=24), {**codes, "other": codes["seed"]})
    assert all(math.isnan(one) for one in found.values())


def trials(rows, *, seeds=3, folds=1, hp=2, patients=12, sds=SDS, rest=0.01, seed=0):
    rng = np.random.default_rng(seed)
    by_seed, by_hp, by_person = (rng.normal(0, sds[name], 99) for name in ("seed", "hyperparameters", "patient"))
    return rows(*[
        {
            "trial_id": f"s{s}f{f}h{h}", "seed": s, "fold": f, "trial": h, "patient_id": f"p{p}", "case_id": f"p{p}",
            "dice": 0.5 + by_seed[s] + by_hp[h] + by_person[p] + rng.normal(0, rest),
        }
        for s in range(seeds) for f in range(folds) for h in range(hp) for p in range(patients)
        if folds == 1 or p % folds == f
    ])  # fmt: skip


def test_components_of_a_sweep_name_what_varies_most(rows):
    found = variance_components(trials(rows, sds={**SDS, "patient": 0.2})).set_index("component")
    assert found["share"].idxmax() == "patient"
    assert found["share"].sum() == pytest.approx(1.0)
    assert found.loc["fold", "said"] == "not varied"
    assert math.isnan(found.loc["fold", "variance"])
    assert found.loc["seed", "levels"] == 3


def test_folds_are_told_apart_from_their_patients_unless_each_has_one(rows):
    several = variance_components(trials(rows, folds=3)).set_index("component")
    single = variance_components(trials(rows, folds=3, patients=3)).set_index("component")
    assert several.loc["fold", "said"] == ""
    assert math.isfinite(several.loc["fold", "variance"])
    assert single.loc["fold", "said"] == "cannot be told apart from patient"
    assert math.isfinite(single.loc["patient", "variance"])


def test_one_training_has_no_components_and_says_so(rows):
    found = variance_components(trials(rows, seeds=1, hp=1)).set_index("component")
    assert found["variance"].isna().all()
    assert found.loc["patient", "said"] == "cannot be told apart from the rest"
    assert found.loc["seed", "said"] == "not varied"
    assert len(variance_components(rows())) == len(variance_summary(variance_components(rows()))) == 0


def test_summary_is_the_mean_over_shifts(rows):
    first, second = trials(rows, seed=1), trials(rows, seed=2).assign(domain="C3/T2W")
    both = variance_components(pd.concat([first, second], ignore_index=True))
    summary = variance_summary(both).set_index("component")
    expected = both[both["component"] == "patient"]["variance"].mean()
    assert summary.loc["patient", "variance"] == pytest.approx(expected)
    assert summary.loc["patient", "sd"] == pytest.approx(math.sqrt(expected))
    assert summary.loc["patient", "shifts"] == 2


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [([0, 0, 1, 1], [1, 1, 0, 0], True), ([0, 0, 1, 1], [0, 1, 1, 1], False), ([0, 1, 2], [0, 0, 0], False)],
)
def test_factors_with_the_same_groups_are_told_from_others(first, second, same):
    assert _same_groups(np.array(first), np.array(second)) is same
