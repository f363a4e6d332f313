"""The tables of means and differences against a slow reading of their definition, one row and one case at a time."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from dgsweep.analysis.frames import as_categories
from dgsweep.analysis.statistics import Bootstrap, clustered_mean
from dgsweep.analysis.tables import matrix, method_summary, method_table, metric_matrix

DRAWS = Bootstrap(draws=200)
COLUMNS = ("panel", "network", "source_set")


def rows(seeds=(0, 1), folds=(0, 1)):
    """Three methods, two sources, two structures; each patient in two sequences, some cases scored by some alone."""
    rng, found = np.random.default_rng(3), []
    for method in ("erm", "gin", "dsu"):
        for sources in ("C1/A", "C1/B"):
            for seed in seeds:
                for fold in folds:
                    for patient in range(9):
                        for sequence in ("A", "B"):
                            if method == "dsu" and patient == 8:
                                continue
                            for label in ("head", "tail"):
                                role = "in_domain" if sources.endswith(sequence) else "target"
                                found.append({
                                    "trial_id": f"{method}{sources}{seed}{fold}", "method": method, "setting": "",
                                    "label_ratio": 1.0, "prompt": "", "panel": "main", "network": "net",
                                    "sources": sources, "fold": fold, "seed": seed, "step": 9, "role": role,
                                    "domain": f"C1/{sequence}", "sequence": sequence, "patient_id": f"p{patient}",
                                    "case_id": f"p{patient}{sequence}", "label": label, "dice": rng.random(),
                                    "recall": np.nan if rng.random() < 0.1 else rng.random(),
                                    "empty_reference": False,
                                })  # fmt: skip
    return pd.DataFrame(found)


@pytest.fixture(scope="module")
def cases():
    return rows()


def case_means(cases, metric="dice", **where):
    """Case -> (patient, mean over trainings of the mean over structures)."""
    own = cases
    for name, value in where.items():
        own = own[own[name] == value]
    found = {}
    for (source, case), part in own.groupby(["sources", "case_id"]):
        trainings = [run[metric].mean() for _, run in part.groupby("trial_id")]
        found[source, case] = part["patient_id"].iloc[0], float(np.nanmean(trainings))
    return found


@pytest.mark.parametrize("form", [lambda cases: cases, as_categories], ids=["text", "categories"])
def test_each_mean_and_interval_is_that_of_its_cases(cases, form):
    table = matrix(form(cases), bootstrap=DRAWS)
    assert len(table) == 3 * 2 * 2
    for row in table.itertuples():
        means = case_means(cases, method=row.arm, sources=row.source_set, sequence=row.target)
        patients, values = zip(*means.values(), strict=True)
        expected = clustered_mean(values, patients, DRAWS)
        assert (row.mean, row.low, row.high) == pytest.approx((expected.mean, expected.low, expected.high), abs=1e-12)
        assert (row.patients, row.cases) == (expected.patients, expected.cases)


def test_the_range_over_repeats_is_that_of_the_means_of_single_trainings(cases):
    row = matrix(cases, bootstrap=DRAWS).query("arm == 'gin' and source_set == 'C1/A' and target == 'B'").iloc[0]
    own = cases.query("method == 'gin' and sources == 'C1/A' and sequence == 'B'")
    means = own.groupby(["trial_id", "case_id"])["dice"].mean().groupby("trial_id").mean()
    assert row["repeats"] == 4
    assert (row["repeat_low"], row["repeat_high"]) == pytest.approx((means.min(), means.max()))


@pytest.mark.parametrize("form", [lambda cases: cases, as_categories], ids=["text", "categories"])
def test_differences_are_paired_by_training_and_case(cases, form):
    table = method_table(form(cases), bootstrap=DRAWS).query("arm == 'dsu'")
    for row in table.itertuples():
        own = cases[(cases["sources"] == row.source_set) & (cases["sequence"] == row.target)]
        keys = ["fold", "seed", "case_id", "patient_id"]
        sides = {name: own[own["method"] == name].groupby(keys)["dice"].mean() for name in ("erm", "dsu")}
        gaps = (sides["dsu"] - sides["erm"]).dropna().groupby(["case_id", "patient_id"]).mean()
        assert row.difference == pytest.approx(gaps.mean())
        per_patient = gaps.groupby("patient_id").mean()
        assert row.p == pytest.approx(stats.wilcoxon(per_patient).pvalue)
        assert (row.paired_patients, row.paired_cases) == (8, 8)


def test_the_baseline_is_paired_with_nothing(cases):
    table = method_table(cases, bootstrap=DRAWS).query("arm == 'erm'")
    assert set(table["paired_cases"]) == {0}
    assert table["difference"].isna().all()


def test_the_summary_counts_every_case_of_every_source_once(cases):
    row = method_summary(cases, bootstrap=DRAWS).query("arm == 'gin' and role == 'target'").iloc[0]
    means = {**case_means(cases, method="gin", sources="C1/A", sequence="B"),
             **case_means(cases, method="gin", sources="C1/B", sequence="A")}  # fmt: skip
    assert row["cases"] == len(means)
    assert row["mean"] == pytest.approx(np.mean([value for _, value in means.values()]))


def test_undefined_values_of_a_metric_are_left_out_of_its_rows_alone(cases):
    table = metric_matrix(cases, metrics=("dice", "recall"), bootstrap=DRAWS)
    alone = matrix(cases, metric="recall", bootstrap=DRAWS)
    below = table[table["metric"] == "recall"].drop(columns="metric").reset_index(drop=True)
    pd.testing.assert_frame_equal(below, alone)
    row = below.query("arm == 'gin' and source_set == 'C1/A' and target == 'B'").iloc[0]
    means = case_means(cases, "recall", method="gin", sources="C1/A", sequence="B")
    assert row["mean"] == pytest.approx(np.nanmean([value for _, value in means.values()]))
