import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from dgsweep.analysis.ranks import critical_difference, friedman_p, rank_differences, rank_table
from dgsweep.analysis.statistics import Bootstrap

QUICK = Bootstrap(draws=400)
ARMS = ("erm", "gin", "mixstyle")


def sweep(dice, people=8, noise=0.0, seed=0):
    """Rows of methods x target domains: `dice[method][domain]`, each patient with a shift of its own."""
    rng = np.random.default_rng(seed)
    rows = []
    for method, domains in dice.items():
        for domain, level in domains.items():
            for i in range(people):
                rows.append({
                    "method": method, "trial_id": f"{method}", "domain": domain, "sequence": domain.split("/")[1],
                    "patient_id": f"p{i}", "case_id": f"p{i}-{domain}", "dice": level + noise * rng.standard_normal(),
                })  # fmt: skip
    return rows


def test_mean_rank_is_the_mean_over_target_domains(rows):
    dice = {
        "erm": {"C1/T2W": 0.9, "C2/T2W": 0.1, "C3/T2W": 0.1},
        "gin": {"C1/T2W": 0.5, "C2/T2W": 0.5, "C3/T2W": 0.5},
        "mixstyle": {"C1/T2W": 0.2, "C2/T2W": 0.3, "C3/T2W": 0.6},
    }
    table = rank_table(rows(*sweep(dice)), bootstrap=QUICK).set_index("arm")
    assert table["rank"].to_dict() == {"gin": 5 / 3, "mixstyle": 2.0, "erm": 7 / 3}
    assert table["shifts"].tolist() == [3, 3, 3]
    assert (table["low"] == table["rank"]).all()  # without spread no draw ranks otherwise


def test_equal_means_share_their_rank(rows):
    table = rank_table(rows(*sweep({arm: {"C1/T2W": 0.5} for arm in ARMS})), bootstrap=QUICK)
    assert table["rank"].tolist() == [2.0, 2.0, 2.0]


def test_interval_of_a_rank_is_as_wide_as_the_patients_leave_it(rows):
    close = {"erm": {"C1/T2W": 0.5, "C2/T2W": 0.5}, "gin": {"C1/T2W": 0.51, "C2/T2W": 0.51}}
    far = {"erm": {"C1/T2W": 0.1, "C2/T2W": 0.1}, "gin": {"C1/T2W": 0.9, "C2/T2W": 0.9}}
    open_ = rank_table(rows(*sweep(close, noise=0.3)), bootstrap=QUICK).set_index("arm").loc["gin"]
    sure = rank_table(rows(*sweep(far, noise=0.1)), bootstrap=QUICK).set_index("arm").loc["gin"]
    assert open_["high"] - open_["low"] >= 0.5
    assert (sure["low"], sure["high"]) == (1.0, 1.0)


def test_one_patient_has_ranks_and_no_interval(rows):
    table = rank_table(rows(*sweep({"erm": {"C1/T2W": 0.5}, "gin": {"C1/T2W": 0.6}}, people=1)), bootstrap=QUICK)
    assert table["rank"].tolist() == [1.0, 2.0]
    assert table["low"].isna().all()


def test_methods_are_ranked_on_cases_that_all_of_them_scored(rows):
    whole = sweep({"erm": {"C1/T2W": 0.5}, "gin": {"C1/T2W": 0.4}}, people=4)
    extra = [{**whole[0], "method": "gin", "trial_id": "gin", "patient_id": "z", "case_id": "z", "dice": 1.0}] * 1
    table = rank_table(rows(*whole, *extra), bootstrap=QUICK).set_index("arm")
    assert table.loc["erm", "rank"] == 1.0
    assert table.loc["gin", "patients"] == 4


def test_a_method_in_few_shifts_is_not_ranked_and_takes_no_shift_from_the_others(rows):
    many = {f"C{i}/T2W": 0.5 for i in range(5)}
    dice = {"erm": many, "gin": dict.fromkeys(many, 0.6), "late": {"C0/T2W": 0.9}}
    table = rank_table(rows(*sweep(dice)), bootstrap=QUICK).set_index("arm")
    assert table.loc["gin", ["rank", "ranked_shifts"]].tolist() == [1.0, 5]
    assert math.isnan(table.loc["late", "rank"])
    assert table.loc["late", "shifts"] == 1


def test_shares_of_labels_are_not_ranked_against_each_other(rows):
    base = sweep({"erm": {"C1/T2W": 0.5}})
    few = [{**row, "label_ratio": 0.1, "setting": "label_ratio=0.1", "trial_id": "f", "dice": 0.1} for row in base]
    assert rank_table(rows(*base, *few), bootstrap=QUICK)["rank"].tolist() == [1.0, 1.0]


def test_in_domain_cases_and_an_empty_frame_have_no_rank(rows):
    home = [{**row, "role": "in_domain"} for row in sweep({"erm": {"C1/T2W": 0.5}})]
    assert len(rank_table(rows(*home))) == len(rank_table(rows())) == len(rank_differences(rows())) == 0


@pytest.mark.parametrize(("methods", "q"), [(2, 1.960), (3, 2.343), (5, 2.728), (10, 3.164)])
def test_critical_difference_uses_the_printed_values_of_nemenyi(methods, q):
    """Table 5(a) of Demsar 2006, alpha 0.05."""
    expected = q * math.sqrt(methods * (methods + 1) / (6 * 14))
    assert critical_difference(methods, 14, 0.95) == pytest.approx(expected, abs=1e-3)


def test_friedman_is_that_of_its_formula():
    means = np.random.default_rng(1).random((14, 4)).round(3)
    ranks = stats.rankdata(-means, axis=1).mean(axis=0)
    chi2 = 12 * 14 / (4 * 5) * ((ranks**2).sum() - 4 * 5**2 / 4)
    assert friedman_p(means) == pytest.approx(stats.chi2.sf(chi2, 3))
    assert friedman_p(np.ones((14, 4))) == 1.0


def test_methods_that_do_not_differ_stand_under_one_bar_and_a_far_one_does_not(rows):
    rng = np.random.default_rng(0)
    shifts = [f"C{i}/T2W" for i in range(12)]
    dice = {arm: {shift: 0.5 + 0.01 * rng.standard_normal() for shift in shifts} for arm in ("a", "b")}
    dice |= {"bad": dict.fromkeys(shifts, 0.1)}
    (found,) = rank_differences(rows(*sweep(dice)))
    assert found.reach == "enough"
    assert found.p < 0.001
    assert [set(names) for names in found.alike] == [{"a", "b"}]
    assert found.critical == pytest.approx(critical_difference(3, 12, 0.95))


@pytest.mark.parametrize(
    ("methods", "shifts", "reach"), [(2, 12, "too few methods"), (3, 10, "too few shifts"), (3, 11, "enough")]
)
def test_too_few_blocks_or_methods_give_no_p_and_no_critical_difference(rows, methods, shifts, reach):
    dice = {f"m{i}": {f"C{j}/T2W": 0.1 * i for j in range(shifts)} for i in range(methods)}
    (found,) = rank_differences(rows(*sweep(dice, people=2)))
    assert found.reach == reach
    assert math.isnan(found.p) == math.isnan(found.critical) == (reach != "enough")


def test_ranks_do_not_depend_on_the_order_of_the_rows(rows):
    frame = rows(*sweep({arm: {"C1/T2W": 0.3, "C2/T2W": 0.4} for arm in ARMS}, noise=0.1))
    shuffled = frame.sample(frac=1, random_state=3)
    pd.testing.assert_frame_equal(rank_table(frame, bootstrap=QUICK), rank_table(shuffled, bootstrap=QUICK))
