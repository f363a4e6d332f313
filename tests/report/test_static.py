import xml.etree.ElementTree as ET

import pytest
from report_browser import CHROMIUM

from dgsweep.report import write_report

needs_browser = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium on this machine (Debian: apt-get install chromium)"
)


def drawn_text(path):
    return " ".join(text for text in ET.parse(path).getroot().itertext() if text.strip())


@needs_browser
def test_every_figure_of_the_page_is_an_svg_with_its_text(for_papers):
    page = (for_papers / "report.html").read_text(encoding="utf-8")
    drawn = {path.stem for path in (for_papers / "figures").glob("*.svg")}
    assert {"box-0", "val-0", "loss-0", "matrix-0-0", "matrix-0-1"} <= drawn
    assert all(f'href="figures/{key}.svg"' in page for key in drawn)
    assert "Dice" in drawn_text(for_papers / "figures/box-0.svg")
    assert not (for_papers / "figures/MISSING.txt").exists()


@needs_browser
def test_the_matrix_figure_writes_each_mean_over_its_interval(for_papers):
    text = drawn_text(for_papers / "figures/matrix-0-0.svg")
    assert "erm: mean Dice" in text
    assert text.count("[0.") == 9


def test_without_a_browser_the_report_is_written_and_says_how_to_get_one(build, monkeypatch, caplog):
    monkeypatch.setenv("BROWSER_PATH", "/nonexistent/chrome")
    output = build()
    page = write_report(output, figures=True).read_text(encoding="utf-8")
    said = (output / "report/figures/MISSING.txt").read_text()
    assert "no browser was found" in said
    assert "apt-get install chromium" in said
    assert "No SVG figures were written: no browser was found" in page
    assert "No SVG figures" in caplog.text
    assert not list((output / "report/figures").glob("*.svg"))
    assert (output / "report/tables/matrix_by_sequence.tex").exists()


def test_a_report_that_is_not_asked_for_figures_starts_no_browser(build, monkeypatch):
    monkeypatch.setenv("BROWSER_PATH", "/nonexistent/chrome")
    output = build(finished=0)
    assert "No SVG figures" not in write_report(output).read_text(encoding="utf-8")
    assert not (output / "report/figures").exists()
