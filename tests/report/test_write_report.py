import dataclasses
import re

import pandas as pd
import pytest
from report_sweep import SWEEP, write_case_files

from dgsweep.errors import InputError
from dgsweep.records.ledger import Ledger
from dgsweep.report import write_report

SECTIONS = ["totals", "answer", "matrix", "methods", "ranks", "shift", "variance", "volumes", "cases", "distances"]
SECTIONS += ["curves", "hyperparameters", "pictures", "costs", "failures", "provenance"]


def text_of(output, **options):
    """The page without its scripts, so that a word is one that a reader sees."""
    return visible(write_report(output, **options).read_text(encoding="utf-8"))


def shown(page):
    return visible(page.read_text(encoding="utf-8"))


def visible(page):
    return re.sub(r"<script.*?</script>|<style.*?</style>", "", page, flags=re.DOTALL)


def cells_of(page):
    return len(re.findall(r'<td class="cell(?: at-home)?" style', page))


def test_full_sweep_shows_every_section_in_order(full_page):
    page = visible(full_page)
    sections = re.findall(r'<section id="(\w+)"', page)
    assert sections == SECTIONS
    assert "Equal for every method: 500 steps a trial" in page
    assert "gin is furthest above ERM" in page
    assert "needs two source domains, has one" in page
    assert "Not complete" not in page


def test_numbers_of_the_page_and_of_the_csv_are_the_means_of_the_ledger(full, full_page):
    page = visible(full_page)
    ledger = Ledger(full)
    cases = ledger.cases_frame(ledger.read_plan())
    chosen = cases[(cases["method"] == "gin") & (cases["sources"] == "C1/T1W+C2/T1W") & (cases["sequence"] == "T2W")]
    expected = chosen[chosen["role"] == "target"].groupby("case_id")["dice"].mean().mean()
    table = pd.read_csv(full / "report/tables/matrix_by_sequence.csv").set_index(["arm", "source_set", "target"])
    assert table.loc[("gin", "T1W", "T2W"), "mean"] == pytest.approx(expected)
    assert f"T1W → T2W (target): Dice {expected:.3f} [" in page


def test_pictures_are_drawn_from_kept_masks_and_left_out_on_request(full, full_page, tmp_path):
    page = visible(full_page)
    assert page.count("data:image/png;base64,") >= 3 * len(SWEEP.methods)
    assert "worst kept: Dice" in page
    without = text_of(full, images=False, to=tmp_path)
    assert "data:image/png" not in without
    assert "no picture of a patient" in without


def test_a_missing_image_is_named_and_the_page_is_written(build):
    output = build()
    plan = Ledger(output).read_plan()
    write_case_files(output, plan)
    for path in (output.parent / "data").glob("P01-T2W.nii.gz"):
        path.unlink()
    assert "P01-T2W.nii.gz is not where it was" in text_of(output)


def test_half_finished_sweep_says_so_and_shows_what_is_there(written):
    page = shown(written(finished=1))
    assert "Not complete" in page
    assert "1 of 4 trials are done" in page
    assert cells_of(page) >= 2


def test_one_cell_only_without_erm_is_compared_with_nothing(written):
    page = shown(written(methods=("gin",), sequences=("T1W",), targets=False))
    assert cells_of(page) == 3  # one sequence, two domains
    assert "This sweep tests no shift" in page
    assert "▲ better" not in page
    assert "▼ worse" not in page


def test_sweep_without_targets_shows_the_in_domain_matrix_alone(written):
    page = shown(written(targets=False))
    assert "This sweep tests no shift" in page
    assert "→ T1W (in-domain)" in page
    assert "(target)" not in page


def test_all_failed_sweep_names_every_cause_and_no_result(written):
    page = shown(written(failed=(0, 1, 2, 3)))
    assert page.count("loss is NaN at step 120 &lt;in") == 4
    assert "no trial is finished" in page
    assert cells_of(page) == 0


def test_nothing_begun_gives_a_page(written):
    page = shown(written(finished=0))
    assert "0 of 4 trials are done" in page
    assert "No trial failed" in page


def test_single_patient_has_means_but_no_intervals_and_no_claim(written):
    page = shown(written(patients=1, centers=("C1",)))
    assert "no interval" in page
    assert "Open on 2 of 2 shifts" in page
    assert not re.search(r"(▲ better|▼ worse|Holds on)</?", page)


def test_oracle_rows_stand_apart_and_never_in_the_main_matrix(written):
    report = written(selection=("source_val", "oracle_target"), trials=2)
    page = shown(report)
    main, _, others = page.partition('<section id="panels">')
    assert "Oracle: the target’s labels" in others or "Oracle: the target&#39;s labels" in others
    assert "Oracle" not in main
    table = pd.read_csv(report.parent / "tables/matrix_by_sequence.csv")
    assert set(table.loc[table["rule"] == "oracle_target", "panel"]) == {"oracle"}


def test_transductive_method_stands_in_its_own_panel_with_its_difference_to_erm(written):
    report = written(panels=(("gin", "transductive"),))
    page = shown(report)
    main, _, others = page.partition('<section id="panels">')
    assert "gin</h4>" not in main
    assert "gin</h4>" in others
    table = pd.read_csv(report.parent / "tables/method_by_shift.csv")
    assert (table.loc[table["panel"] == "transductive", "paired_cases"] > 0).all()


def test_unequal_budgets_are_said_to_be_unequal(build, edit_plan):
    output = build()
    plan = Ledger(output).read_plan()
    first = dataclasses.replace(plan.trials[0], budget_steps=1000)
    edit_plan(output, trials=(first, *plan.trials[1:]))
    assert "Not equal: 500, 1000 steps" in text_of(output)


def test_names_from_the_data_cannot_become_markup(build, edit_plan):
    output = build()
    edit_plan(output, sweep="<b>x</b>", notes=("<script>alert(1)</script>",))
    page = write_report(output).read_text(encoding="utf-8")
    assert "<b>x</b>" not in page
    assert "<script>alert(1)" not in page


def test_page_carries_plotly_once_and_names_no_outside_address(full_page):
    assert len(re.findall(r"plotly\.js v\d", full_page)) == 1
    assert not re.search(r"<(?:script|link|img|iframe)[^>]+(?:src|href)=[\"']?https?:", full_page)


def test_folder_without_a_plan_is_refused_with_what_to_do(tmp_path):
    with pytest.raises(InputError, match=r"no plan\.json"):
        write_report(tmp_path)


def test_a_method_that_was_never_active_is_called_erm_by_another_name(written):
    assert "gin_off: active in no step" in shown(written(methods=("erm", "gin_off")))


def test_a_method_that_was_active_in_predictions_only_is_not(written):
    assert "active in no step" not in shown(written(methods=("erm", "adapts")))


def test_a_method_that_was_active_is_not(full_page):
    assert "active in no step" not in visible(full_page)
