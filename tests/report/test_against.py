import functools
import json
import re

import pandas as pd
import pytest
from jinja2 import Environment, PackageLoader
from report_browser import CHROMIUM

from dgsweep.analysis.reference import PAPERS, read_paper
from dgsweep.errors import InputError
from dgsweep.records.ledger import Ledger
from dgsweep.report import write_report
from dgsweep.report.against import against
from dgsweep.report.evidence import read_evidence
from dgsweep.report.panels import panels


def section(page):
    return re.search(r'<section id="against">.*?</section>', page.read_text(encoding="utf-8"), re.DOTALL).group()


@functools.cache
def tables_of(output):
    """What the whole report rests on, read once."""
    evidence = read_evidence(output)
    return evidence, panels(evidence)


def beside(output, name):
    """The section alone, drawn by the page's own template."""
    environment = Environment(loader=PackageLoader("dgsweep.report", "templates"), autoescape=True)
    shown = against(read_paper(name), *tables_of(output))
    return environment.get_template("against.html.j2").render(against=shown)


def visible(text):
    return re.sub(r"\s+", " ", re.sub(r"<script.*?</script>|<[^>]+>", " ", text, flags=re.DOTALL))


def figures(text):
    found = re.findall(r'<script type="application/json" id="data-(against-\w+)">(.*?)</script>', text, re.DOTALL)
    return {key: json.loads(one) for key, one in found}


def points(figure):
    return {label: x for trace in figure["data"] for label, x in zip(trace["y"], trace["x"], strict=True)}


@pytest.fixture
def pansegnet(for_papers):
    return for_papers / "report.html"


def test_a_report_without_a_paper_has_no_such_section(full_page):
    assert 'id="against"' not in full_page
    assert 'href="#against"' not in full_page


def test_every_number_of_theirs_is_shown_as_a_share_with_its_caveats(pansegnet):
    text = visible(section(pansegnet))
    assert "0.837 ± 0.084 (sd of cases)" in text
    assert "14.26" in text
    assert all(caveat in text.replace("&#34;", '"').replace("&#39;", "'") for caveat in caveats("pansegnet"))


def caveats(name):
    return [re.sub(r"\s+", " ", one) for table in read_paper(name).tables for one in table.caveats]


def test_a_contradicted_number_is_in_no_table_figure_or_file(pansegnet):
    assert "0.800" not in [str(x) for x in points(figures(section(pansegnet))["against-theirs"]).values()]
    table = pd.read_csv(pansegnet.parent / "tables/against_pansegnet.csv")
    assert "contradicted" not in set(table["source"])
    assert "jaccard" not in set(table["metric"])


def test_our_numbers_are_the_means_of_the_ledger(full, pansegnet):
    ledger = Ledger(full)
    cases = ledger.cases_frame(ledger.read_plan())
    own = cases[(cases["method"] == "erm") & (cases["sources"] == "C1/T1W+C2/T1W") & (cases["domain"] == "C2/T2W")]
    expected = own.groupby("case_id")["dice"].mean().mean()
    table = pd.read_csv(pansegnet.parent / "tables/against_pansegnet.csv")
    row = table[(table["method"] == "erm") & (table["trained_on"] == "T1W") & (table["target"] == "C2/T2W")]
    assert row.loc[row["metric"] == "dice", "value"].item() == pytest.approx(expected)
    drawn = points(figures(section(pansegnet))["against-ours"])
    assert drawn["erm, T1W → C2/T2W"] == pytest.approx(expected)
    assert f"T1W → C2/T2W across a shift {expected:.3f}" in visible(section(pansegnet))


def test_ours_and_theirs_never_stand_in_one_table_or_figure(pansegnet):
    text = section(pansegnet)
    tables = re.findall(r"<table>.*?</table>", text, re.DOTALL)
    rows = [visible(table) for table in tables if "Differences" not in table and "What differs" not in table]
    assert not [one for one in rows if "PanSegNet" in one and "gin" in one]
    drawn = figures(text)
    assert not set(points(drawn["against-theirs"])) & set(points(drawn["against-ours"]))
    assert "No ranking" in visible(text)


def test_both_figures_share_one_axis(pansegnet):
    ranges = [figure["layout"]["xaxis"]["range"] for figure in figures(section(pansegnet)).values()]
    assert ranges == [[-0.02, 1.02]] * 2


@pytest.mark.parametrize("name", PAPERS)
def test_every_aspect_of_protocol_is_told_for_both(full, name):
    text = beside(full, name)
    table = re.search(r"What differs.*?</table>", text, re.DOTALL).group()
    rows = re.findall(r'<th scope="row">(\w+)</th><td class="cause">(.+?)</td><td class="cause">(.+?)</td>', table)
    assert [row[0] for row in rows] == list(read_paper(name).protocol)
    assert "500 steps a trial" in table
    assert "8 patients, 24 cases" in table


def test_pending_cells_say_that_they_are_not_public_and_are_not_drawn(full):
    text = beside(full, "crosspan")
    assert visible(text).count("not public") >= 21
    drawn = points(figures(text)["against-theirs"])
    assert sorted(drawn.values()) == [0.02, 0.85]
    assert "Triangles are bounds, not values" in visible(text)
    assert "T1W → T2W" in str(points(figures(text)["against-ours"]))


def test_a_sequence_that_the_paper_does_not_name_is_said_to_have_no_counterpart(full, pansegnet):
    assert "names no sequence OOP" in visible(section(pansegnet))
    assert "names no sequence" not in visible(beside(full, "crosspan"))


def test_another_organ_is_said_to_be_another_question(build):
    assert "segments liver" in visible(beside(build(structures=("liver",), finished=0), "pansegnet"))


def test_the_same_organ_is_not(pansegnet):
    assert "another question" not in visible(section(pansegnet))


def test_a_sweep_without_scores_shows_the_papers_numbers_alone(build):
    text = beside(build(finished=0), "pancreasdg")
    assert list(figures(text)) == ["against-theirs"]
    assert "Nothing scored yet" in text
    assert "0.704" in text


def test_an_oracle_choice_is_not_set_beside_a_paper(build):
    text = beside(build(selection=("oracle_target",)), "pansegnet")
    assert "oracle_target" not in visible(text)


def test_a_transductive_method_stands_under_a_heading_of_its_own(build):
    text = visible(beside(build(panels=(("gin", "transductive"),)), "pancreasdg"))
    assert "This sweep, transductive, chosen by source_val" in text
    assert "This sweep, main, chosen by source_val" in text


def test_one_patient_has_means_and_no_interval(build):
    text = visible(beside(build(patients=1, methods=("erm",), centers=("C1",)), "pansegnet"))
    assert "no interval" in text
    assert "1 patient, 1 case" in text


def test_an_unknown_paper_is_refused_before_anything_is_written(full, tmp_path):
    with pytest.raises(InputError, match="no such paper"):
        write_report(full, to=tmp_path, beside="nature")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine (Debian: apt-get install chromium)")
def test_the_figures_draw_without_a_complaint(pansegnet, browser):
    browser.open(pansegnet)
    browser.wait("document.querySelectorAll('#against .plot .main-svg').length >= 2")
    assert browser.complaints() == []
    assert browser.requests() == []
