"""Counts of an acceptance study, against formulas and libraries that others wrote."""

import math

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import cohen_kappa_score

from dgsweep.analysis.acceptance import acceptance_table, agreement_table, wilson
from dgsweep.analysis.statistics import Bootstrap
from dgsweep.metrics import fleiss_kappa

DRAWS = Bootstrap(draws=400)


def answers(readers=("a", "b"), patients=12, seed=0, shares=(0.9, 0.4)):
    """Two methods on three cases a patient: how often each is accepted, with readers who mostly agree."""
    rng, rows = np.random.default_rng(seed), []
    for arm, share in zip(("gin", "erm"), shares, strict=True):
        for number in range(3 * patients):
            truth = rng.random() < share
            for reader in readers:
                rows.append({
                    "item": f"{arm}{number}", "reader": reader, "accept": bool(truth ^ (rng.random() < 0.1)),
                    "arm": arm, "network": "net", "source_set": "A", "target": "BC"[number % 2],
                    "patient_id": f"p{number // 3}",
                })  # fmt: skip
    return pd.DataFrame(rows)


def test_wilsons_interval_is_that_of_his_formula():
    k, n, z = 17, 20, 1.959963984540054
    centre = (k / n + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(k / n * (1 - k / n) / n + z**2 / (4 * n**2))
    assert wilson(k, n, 0.95) == pytest.approx((centre - half, centre + half))


def test_rates_are_shares_of_items_by_method_shift_and_reader():
    given = answers()
    table = acceptance_table(given, bootstrap=DRAWS).set_index(["arm", "target", "reader"])
    for (arm, reader), part in given.groupby(["arm", "reader"]):
        assert table.loc[(arm, "all", reader), "rate"] == pytest.approx(part["accept"].mean())
    own = given.query("arm == 'gin' and target == 'B' and reader == 'a'")
    row = table.loc[("gin", "B", "a")]
    assert (row["accepted"], row["items"]) == (own["accept"].sum(), len(own))
    assert row["wilson_low"] < row["rate"] < row["wilson_high"]


def test_an_item_is_accepted_by_every_reader_only_if_each_accepts_it():
    given = answers()
    table = acceptance_table(given, bootstrap=DRAWS).set_index(["arm", "target", "reader"])
    both = given.query("arm == 'erm'").groupby("item")["accept"].all()
    assert table.loc[("erm", "all", "every reader"), "rate"] == pytest.approx(both.mean())
    mean = table.loc[("erm", "all", "mean of readers")]
    assert mean["rate"] == pytest.approx(given.query("arm == 'erm'")["accept"].mean())
    assert math.isnan(mean["wilson_low"])
    assert mean["low"] < mean["rate"] < mean["high"]


def test_the_bootstrap_draws_patients_so_it_is_wider_where_their_items_go_together():
    given = answers(readers=("a",))
    alike = given.assign(accept=given["patient_id"].str[1:].astype(int) % 2 == 0)
    spread = alike.assign(patient_id=alike["item"])
    wide, narrow = (acceptance_table(one, bootstrap=DRAWS).iloc[0] for one in (alike, spread))
    assert wide["rate"] == narrow["rate"]
    assert wide["high"] - wide["low"] > 1.3 * (narrow["high"] - narrow["low"])


def test_kappa_of_two_readers_is_that_of_scikit_learn():
    given = answers()
    wide = given.pivot(index="item", columns="reader", values="accept")
    row = agreement_table(given, bootstrap=DRAWS).iloc[0]
    assert row["value"] == pytest.approx(cohen_kappa_score(wide["a"], wide["b"]))
    assert row["percent"] == pytest.approx((wide["a"] == wide["b"]).mean())
    assert row["low"] < row["value"] < row["high"]


def test_three_readers_have_each_pair_and_fleiss_kappa():
    given = answers(readers=("a", "b", "c"))
    table = agreement_table(given, bootstrap=DRAWS).query("arm == 'all'").set_index("readers")
    assert list(table["measure"]) == ["Cohen's kappa"] * 3 + ["Fleiss' kappa"]
    yes = given.groupby("item")["accept"].sum().to_numpy()
    row = table.loc["all 3"]
    assert row["value"] == pytest.approx(fleiss_kappa(np.stack([yes, 3 - yes], axis=1)))
    assert row["percent"] == pytest.approx(np.isin(yes, (0, 3)).mean())
    assert row["low"] < row["value"] < row["high"]


def test_readers_who_accept_everything_have_agreement_but_no_kappa():
    row = agreement_table(answers().assign(accept=True), bootstrap=DRAWS).iloc[0]
    assert row["percent"] == 1.0
    assert math.isnan(row["value"])
    assert math.isnan(row["low"])


def test_one_reader_has_rates_and_no_agreement():
    given = answers(readers=("a",))
    assert set(acceptance_table(given, bootstrap=DRAWS)["reader"]) == {"a"}
    assert agreement_table(given, bootstrap=DRAWS).empty
