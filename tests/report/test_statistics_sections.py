"""Statistics on the page: the numbers of the tables, and plain words where the data cannot carry one."""

import re

import pandas as pd


def text_of(page):
    return re.sub(r"<script.*?</script>|<style.*?</style>", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)


def section(page, key):
    return page.partition(f'<section id="{key}">')[2].partition("</section>")[0]


def test_ranks_of_the_page_are_those_of_the_csv(full, full_page):
    table = pd.read_csv(full / "report/tables/ranks.csv").set_index("arm")
    shown = section(full_page, "ranks")
    assert table.loc["gin", "rank"] < table.loc["erm", "rank"]
    for arm in ("gin", "erm"):
        assert f'<th scope="row">{arm}</th><td>unet_tiny</td><td class="n">{table.loc[arm, "rank"]:.2f} [' in shown
    assert "No test of ranks: it needs three methods" in shown


def test_three_methods_on_many_shifts_have_a_critical_difference_and_on_few_say_that_they_have_none(written):
    three = ("erm", "gin", "adapts")
    many = section(text_of(written(methods=three, sequences=("T1W", "OOP", "T2W"))), "ranks")
    assert "critical difference is" in many.replace("Nemenyi&#39;s ", "").replace("Nemenyi’s ", "")
    few = section(text_of(written(methods=three)), "ranks")
    assert "No critical difference: 4 shifts for 3 methods" in few


def test_half_finished_one_cell_and_nothing_scored_are_said_plainly(written):
    assert "No target case has been scored, so there are no ranks" in section(text_of(written(targets=False)), "ranks")
    lone = section(text_of(written(methods=("gin",), patients=1, centers=("C1",))), "ranks")
    assert "no interval" in lone
    assert "nan" not in lone
    assert 'id="ranks"' not in text_of(written(finished=0))


def test_shifts_are_called_so_only_below_the_band(full, full_page):
    found = pd.read_csv(full / "report/tables/sampling_variance.csv")
    shown = section(full_page, "shift")
    words = found.groupby("arm")["word"].unique()
    assert list(words["erm"]) == ["shift"]
    assert (found.loc[found["word"] == "shift", "target_mean"] < found["band_low"]).all()
    assert "its only kind of shift is cross-sequence" in shown
    assert "Source against target over 6 models and 8 patients: Pearson" in shown


def test_few_patients_and_few_models_are_not_judged(written):
    shown = section(text_of(written(methods=("erm",))), "shift")
    assert "too few patients" in shown
    assert "2 models (method, network, sources), too few for a correlation" in shown
    assert ">shift<" not in shown
    assert "nan" not in shown


def test_center_and_sequence_are_compared_where_both_are_tried(written):
    shown = section(text_of(written(protocol="single_source")), "shift")
    assert "cross-center" in shown
    assert "Centers are other people as well as other scanners" in shown


def test_variance_is_divided_where_trainings_repeat_and_nowhere_else(full_page, written):
    assert "Variance components of target Dice" in section(full_page, "variance")
    assert "cannot be told apart" not in section(full_page, "variance")
    assert "It needs several trainings" in section(text_of(written(methods=("erm",))), "variance")


def test_volumes_show_bias_limits_and_bounds(full, full_page):
    shown = section(full_page, "volumes")
    assert "Predicted against reference volume" in shown
    assert "-2.0 [-2.0, -2.0]" in shown  # every volume of this ledger is 30 ml instead of 32
    assert pd.read_csv(full / "report/tables/volumes.csv")["bias_ml"].tolist() == [-2.0] * 18
