"""Controls stand apart: with their own numbers, and in no table of methods."""

import dataclasses
import re

import pandas as pd
import pytest
from report_sweep import Sweep, make_plan, write_trial

from dgsweep.plan.trial import Setting, Split, content_id
from dgsweep.records.ledger import Ledger
from dgsweep.report import write_report


def control(spec, variant, **changes):
    identity = content_id([spec.trial_id, variant, changes.get("sources", "")])
    return dataclasses.replace(
        spec, trial_id=identity, cell_id=identity, panel="control", setting=Setting(variant=variant), **changes
    )


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    """ERM and GIN on two sequences, a ceiling of C1/T2W and C2/T2W, and shuffled labels of T1W."""
    output = tmp_path_factory.mktemp("controls") / "runs"
    plan = make_plan(Sweep(sequences=("T1W", "T2W"), seeds=(0,), patients=6))
    erm = next(spec for spec in plan.trials if spec.method == "erm" and spec.sources_label == "T1W")
    made = [control(erm, "shuffled_labels")]
    for domain in ("C1/T2W", "C2/T2W"):
        test = tuple(case for case, name in erm.domains.items() if name == domain and not case.startswith("V"))
        made.append(
            control(
                erm, "ceiling", sources=(domain,), sources_label=domain, targets=(),
                split=Split(train=(), val=(), test=test, target=()),
                score_shas={case: content_id(case) for case in test},
            )
        )  # fmt: skip
    config = {**plan.config, "controls": {"ceiling": True, "shuffled_labels": True}}
    plan = dataclasses.replace(plan, trials=(*plan.trials, *made), config=config)
    ledger = Ledger(output)
    ledger.write_plan(plan)
    for spec in plan.trials:
        write_trial(ledger, spec)
    write_report(output, images=False)
    return output


def test_controls_are_in_no_table_of_methods(output):
    for path in sorted((output / "report" / "tables").glob("*.csv")):
        if path.stem not in ("controls", "cases", "trials", "curves", "costs"):
            assert "ceiling" not in path.read_text()
            assert "shuffled" not in path.read_text()
    page = (output / "report/report.html").read_text(encoding="utf-8")
    assert "2 methods, 2 source sets, 4 cells and 3 beside them" in page
    assert "Equal for every method" in page


def test_ceilings_stand_beside_the_methods_on_the_same_cases(output):
    table = pd.read_csv(output / "report/tables/controls.csv")
    cases = Ledger(output).cases_frame(Ledger(output).read_plan())
    row = table[(table["kind"] == "ceiling") & (table["where"] == "C2/T2W") & (table["arm"] == "gin")].iloc[0]
    ceiling = cases[(cases["panel"] == "control") & (cases["domain"] == "C2/T2W") & (cases["role"] == "in_domain")]
    gin = cases[(cases["method"] == "gin") & (cases["domain"] == "C2/T2W") & (cases["role"] == "target")]
    assert row["control"] == pytest.approx(ceiling["dice"].mean())
    assert row["method"] == pytest.approx(gin["dice"].mean())
    assert row["difference"] == pytest.approx(row["method"] - row["control"])
    assert row["cases"] == len(ceiling) == 3


def test_shuffled_labels_are_compared_with_erm_alone(output):
    table = pd.read_csv(output / "report/tables/controls.csv")
    shuffled = table[table["kind"] == "shuffled_labels"]
    assert sorted(shuffled["role"]) == ["in_domain", "target"]
    assert set(shuffled["arm"]) == {"erm"}
    shown = (output / "report/report.html").read_text(encoding="utf-8").partition('<section id="controls">')[2]
    assert "Ceilings" in shown
    assert "nan" not in shown.partition("</section>")[0]


def test_a_sweep_without_controls_has_no_such_section(full_page):
    assert not re.search(r'<section id="controls"', full_page)
