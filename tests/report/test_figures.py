"""Figures keep apart what was trained apart."""

import json
import re

import pandas as pd

from dgsweep.report.figures import student_curves

FIGURE = re.compile(r'aria-label="([^"]*?)\. [^"]*" data-figure.*?<script[^>]*>(.*?)</script>', re.DOTALL)


def figures_of(page):
    """Title -> names of the traces in its legend."""
    parsed = {title: json.loads(text)["data"] for title, text in FIGURE.findall(page)}
    return {
        title: [trace["name"] for trace in traces if trace.get("showlegend") is not False]
        for title, traces in parsed.items()
    }


def test_two_networks_stand_apart_in_boxes_curves_and_quartiles(written):
    page = written(networks=("unet_tiny", "nnunet"), methods=("erm",), targets=False).read_text(encoding="utf-8")
    figures = figures_of(page)
    assert sorted(figures["Trained on T1W"]) == ["erm · nnunet", "erm · unet_tiny"]
    assert sorted(figures["T1W: source-validation Dice"]) == ["erm · nnunet", "erm · unet_tiny"]
    quartiles = page.partition("Dice of single cases</caption>")[2].partition("</table>")[0]
    assert re.findall(r'<th scope="row">(.*?)</th><td>T1W.*?</td><td class="n">(\d+)</td>', quartiles) == [
        ("erm · nnunet", "4"),
        ("erm · unet_tiny", "4"),
    ]


def test_one_network_is_not_named_in_figures(written):
    figures = figures_of(written(methods=("erm",), targets=False).read_text(encoding="utf-8"))
    assert figures["Trained on T1W"] == figures["T1W: training loss"] == ["erm"]


def curve(trial_id, metric, values, *, role="val", arm="mean_teacher"):
    return pd.DataFrame(
        {
            **{"trial_id": trial_id, "arm": arm, "source_set": "T1W", "name": f"{arm} seed {trial_id}"},
            **{"role": role, "domain": "all", "metric": metric, "step": [10, 20], "value": values},
        }
    )


def test_student_teacher_and_weight_of_the_first_trial_stand_in_one_figure():
    curves = pd.concat(
        [
            curve("2", "dice_student", [0.0, 0.1]),
            curve("1", "dice", [0.2, 0.4]),
            curve("1", "dice_student", [0.3, 0.6]),
            curve("1", "consistency_weight", [0.01, 0.1], role="train"),
            curve("3", "dice", [0.5, 0.5], arm="erm"),
        ]
    )
    (figure,) = student_curves(curves)
    drawn = json.loads(figure.json)["data"]
    assert [(trace["y"], trace["yaxis"]) for trace in drawn] == [
        ([0.2, 0.4], "y"),
        ([0.3, 0.6], "y"),
        ([0.01, 0.1], "y2"),
    ]
    assert figure.title == "T1W: mean_teacher, student and teacher"
    assert student_curves(curves[curves["metric"] == "dice"]) == []
