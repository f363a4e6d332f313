"""Figures keep apart what was trained apart."""

import json
import re

from dgsweep.report import write_report

FIGURE = re.compile(r'aria-label="([^"]*?)\. [^"]*" data-figure.*?<script[^>]*>(.*?)</script>', re.DOTALL)


def figures_of(page):
    """Title -> names of the traces in its legend."""
    parsed = {title: json.loads(text)["data"] for title, text in FIGURE.findall(page)}
    return {
        title: [trace["name"] for trace in traces if trace.get("showlegend") is not False]
        for title, traces in parsed.items()
    }


def page_of(output):
    return write_report(output, images=False).read_text(encoding="utf-8")


def test_two_networks_stand_apart_in_boxes_curves_and_quartiles(build):
    page = page_of(build(networks=("unet_tiny", "nnunet"), methods=("erm",), targets=False))
    figures = figures_of(page)
    assert sorted(figures["Trained on T1W"]) == ["erm · nnunet", "erm · unet_tiny"]
    assert sorted(figures["T1W: source-validation Dice"]) == ["erm · nnunet", "erm · unet_tiny"]
    quartiles = page.partition("Dice of single cases</caption>")[2].partition("</table>")[0]
    assert re.findall(r'<th scope="row">(.*?)</th><td>T1W.*?</td><td class="n">(\d+)</td>', quartiles) == [
        ("erm · nnunet", "4"),
        ("erm · unet_tiny", "4"),
    ]


def test_one_network_is_not_named_in_figures(build):
    figures = figures_of(page_of(build(methods=("erm",), targets=False)))
    assert figures["Trained on T1W"] == figures["T1W: training loss"] == ["erm"]
