"""Sweeps with little or nothing in them: each gives a page that says what is missing, and no figure without a point."""

import dataclasses
import json
import re

import pytest

from dgsweep.records.ledger import Ledger
from dgsweep.report import write_report

FOUR = (0, 1, 2, 3)
THIN = {
    "half_finished": ({"finished": 2}, "2 of 4 trials are done"),
    "one_cell": ({"methods": ("erm",), "sequences": ("T1W",), "centers": ("C1",)}, "1 cell, 1 trial planned"),
    "no_target": ({"targets": False}, "This sweep tests no shift"),
    "all_failed": ({"failed": FOUR}, "There is no answer yet: no trial is finished."),
    "nothing_begun": ({"finished": 0}, "0 of 4 trials are done"),
    "single_patient": ({"patients": 1, "centers": ("C1",)}, "no interval"),
}


def figures(page):
    """Every figure of the page, as Plotly reads it."""
    found = re.findall(r'<script type="application/json" id="data-[^"]+">(.*?)</script>', page, flags=re.DOTALL)
    return [json.loads(text) for text in found]


def points(figure):
    """Numbers that a figure draws."""
    values = [trace.get("y") or trace.get("dimensions") or [] for trace in figure["data"]]
    return sum(len(one) if not isinstance(one, dict) else 1 for one in values)


def visible(page):
    return re.sub(r"<script.*?</script>|<style.*?</style>", "", page, flags=re.DOTALL)


def empty_plan(build, edit_plan):
    output = build(finished=0)
    edit_plan(output, trials=())
    return output


def unlabelled_targets(build):
    """Targets without labels are in the split but are never scored."""
    output = build(finished=0)
    ledger = Ledger(output)
    plan = ledger.read_plan()
    specs = [
        dataclasses.replace(
            spec,
            split=dataclasses.replace(spec.split, target=()),
            score_shas={case: sha for case, sha in spec.score_shas.items() if case not in spec.split.target},
        )
        for spec in plan.trials
    ]
    from report_sweep import write_trial

    ledger.write_plan(dataclasses.replace(plan, trials=tuple(specs)))
    for spec in specs:
        write_trial(ledger, spec)
    return output


def check(page, said):
    text = visible(page)
    assert said in text
    assert not re.search(r"\bnan\b|\bNone\b|\binf\b|Traceback", re.sub(r"<pre.*?</pre>", "", text, flags=re.DOTALL))
    assert [figure for figure in figures(page) if not points(figure)] == []
    assert not re.search(r"<tbody>\s*</tbody>", text)
    assert not re.search(r"<nav[^>]*>.*?</nav>", text, flags=re.DOTALL) or all(
        f'id="{name}"' in text for name in re.findall(r'<a href="#(\w[\w-]*)"', text)
    )


@pytest.mark.parametrize("name", THIN)
def test_a_thin_sweep_gives_a_page_that_says_what_is_missing(written, name):
    changes, said = THIN[name]
    check(written(**changes).read_text(encoding="utf-8"), said)


def test_an_empty_plan_gives_a_page(build, edit_plan):
    check(write_report(empty_plan(build, edit_plan)).read_text(encoding="utf-8"), "no trial is finished")


def test_unlabelled_targets_are_not_scored_and_the_page_says_so(build):
    check(write_report(unlabelled_targets(build)).read_text(encoding="utf-8"), "No target case has been scored")


def test_the_probe_sees_an_empty_figure_and_an_empty_table(full_page):
    assert figures(full_page)
    assert points({"data": [{"y": []}]}) == 0
    with pytest.raises(AssertionError):
        check(full_page.replace("</main>", "<table><tbody></tbody></table></main>"), "erm")
