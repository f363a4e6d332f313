"""What a protocol asks decides what the columns are, and whether a shift is an answer at all."""

import re

import pandas as pd
import pytest

from dgsweep.analysis.frames import target_level
from dgsweep.execution.printout import matrix_rows
from dgsweep.records.ledger import Ledger
from dgsweep.report import write_report

CENTERS = ("C1", "C2", "C3")


@pytest.fixture
def page(written):
    """`page(...)`: output folder and the page of a sweep without its scripts."""

    def make(**changes):
        report = written(**changes)
        text = report.read_text(encoding="utf-8")
        return report.parents[1], re.sub(r"<script.*?</script>|<style.*?</style>", "", text, flags=re.DOTALL)

    return make


def section(text, key):
    return re.search(rf'<section id="{key}">.*?</section>', text, flags=re.DOTALL).group()


def columns(text):
    """Columns of the first matrix of a section."""
    return re.findall(r'<th scope="col">([^<]+)</th>', text.partition("</thead>")[0])


def test_cross_center_names_the_tested_centers(page):
    output, text = page(protocol="cross_center", centers=CENTERS, patients=6)
    shown, _, folded = section(text, "matrix").partition("The same per sequence")
    assert columns(shown) == [f"{center}/{q}" for center in CENTERS for q in ("T1W", "T2W")]
    assert columns(folded) == ["in-domain", "T1W", "T2W"]
    assert "C1/T1W → C3/T1W" in section(text, "answer")
    for name in ("methods", "cases", "distances"):
        assert "C1/T1W → C3/T1W" in section(text, name)
        assert "C1/T1W → T1W" not in section(text, name)
    shifts = pd.read_csv(output / "report/tables/method_by_shift.csv")
    assert set(shifts.loc[shifts["source_set"] == "C1/T1W", "target"]) == {"C1/T1W", "C2/T1W", "C3/T1W"}


def test_cross_sequence_keeps_its_columns_of_sequences(page):
    _, text = page(centers=CENTERS, patients=6)
    shown, _, folded = section(text, "matrix").partition("The same per domain")
    assert columns(shown) == ["T1W", "T2W"]
    assert columns(folded) == [f"{center}/{q}" for center in CENTERS for q in ("T1W", "T2W")]
    assert "T1W → T2W" in section(text, "answer")


@pytest.mark.parametrize(("protocol", "level"), [("cross_center", "domain"), ("cross_sequence", "sequence")])
def test_the_printout_has_the_columns_of_the_report(build, protocol, level):
    ledger = Ledger(build(protocol=protocol, centers=CENTERS, patients=6))
    plan = ledger.read_plan()
    rows, title = matrix_rows(plan, ledger)
    assert target_level(plan) == level
    assert f"by tested {level}" in title
    assert ("C3/T1W" in rows[0]) == (level == "domain")
    assert ("T1W" in rows[0]) == (level == "sequence")


def test_in_domain_sweep_answers_with_what_is_reached_in_domain(page):
    output, text = page(protocol="in_domain")
    shown = section(text, "answer")
    cases = Ledger(output).cases_frame(Ledger(output).read_plan())
    reached = cases[(cases["method"] == "erm") & (cases["role"] == "in_domain")]["dice"].mean()
    assert f"the in-domain result is the answer. erm reaches Dice {reached:.2f} [" in shown
    assert re.search(r"<dt>gin</dt><dd>C1/T1W 0\.\d\d \[.*Against ERM, paired by case", shown)
    assert "No shift has been scored yet" not in text


def test_sweep_whose_shifts_have_no_score_yet_still_waits_for_its_answer(build):
    output = build()
    ledger = Ledger(output)
    for spec in ledger.read_plan().trials:
        rows = ledger.valid_cases(spec)
        ledger.write_cases(spec.trial_id, rows.assign(empty_reference=rows["role"] == "target"))
        ledger.finish(spec.trial_id, spec)
    text = section(write_report(output, images=False).read_text(encoding="utf-8"), "answer")
    assert "No shift has been scored yet" in text
    assert "tests no shift" not in text
