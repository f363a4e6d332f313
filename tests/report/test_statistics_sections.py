"""Statistics on the page: the numbers of the tables, and plain words where the data cannot carry one."""

import re

import pandas as pd

from dgsweep.report import write_report


def text_of(output):
    page = write_report(output, images=False).read_text(encoding="utf-8")
    return re.sub(r"<script.*?</script>|<style.*?</style>", "", page, flags=re.DOTALL)


def section(page, key):
    return page.partition(f'<section id="{key}">')[2].partition("</section>")[0]


def test_ranks_of_the_page_are_those_of_the_csv(full, full_page):
    table = pd.read_csv(full / "report/tables/ranks.csv").set_index("arm")
    shown = section(full_page, "ranks")
    assert table.loc["gin", "rank"] < table.loc["erm", "rank"]
    for arm in ("gin", "erm"):
        assert f'<th scope="row">{arm}</th><td>unet_tiny</td><td class="n">{table.loc[arm, "rank"]:.2f} [' in shown
    assert "No test of ranks: it needs three methods" in shown


def test_three_methods_on_many_shifts_have_a_critical_difference_and_on_few_say_that_they_have_none(build):
    three = ("erm", "gin", "adapts")
    many = section(text_of(build(methods=three, sequences=("T1W", "OOP", "T2W"))), "ranks")
    assert "critical difference is" in many.replace("Nemenyi&#39;s ", "").replace("Nemenyi’s ", "")
    few = section(text_of(build(methods=three)), "ranks")
    assert "No critical difference: 4 shifts for 3 methods" in few


def test_half_finished_one_cell_and_nothing_scored_are_said_plainly(build):
    assert "No target case has been scored, so there are no ranks" in section(text_of(build(targets=False)), "ranks")
    lone = section(text_of(build(methods=("gin",), patients=1, centers=("C1",))), "ranks")
    assert "no interval" in lone
    assert "nan" not in lone
    assert 'id="ranks"' not in text_of(build(finished=0))
