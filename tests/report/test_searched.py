import dataclasses
import json
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from report_browser import CHROMIUM
from report_sweep import Sweep, make_plan, write_trial

from dgsweep.records.ledger import Ledger
from dgsweep.records.steering import TrialCost, write_cost
from dgsweep.report import write_report
from dgsweep.report.cost_quality import cost_and_quality, cost_figures
from dgsweep.report.evidence import read_evidence
from dgsweep.report.page import main_panel
from dgsweep.report.panels import panels
from dgsweep.report.searched import LEAST_FOR_IMPORTANCE, searched, study_of, varied

SMALL = {"patients": 3, "sequences": ("T1W",), "methods": ("erm", "gin"), "targets": False}


def tune(output, trials, same=False):
    """A sweep in which gin has a learning rate and a count that differ by trial, and ERM its one trial."""
    plan = make_plan(Sweep(trials=trials, seeds=(0,), **SMALL))
    kept = [with_values(spec, same) for spec in plan.trials if spec.method == "gin" or spec.trial == 0]
    ledger = Ledger(output)
    ledger.write_plan(dataclasses.replace(plan, trials=tuple(kept)))
    for spec in kept:
        write_trial(ledger, spec)
    return output


@pytest.fixture
def tuned(tmp_path):
    """`tuned(trials)`: such a sweep."""
    return lambda trials, same=False: tune(tmp_path / "runs", trials, same)


@pytest.fixture(scope="module")
def ten(tmp_path_factory):
    """One with as many trials as an importance needs."""
    return tune(tmp_path_factory.mktemp("ten") / "runs", LEAST_FOR_IMPORTANCE)


@pytest.fixture(scope="module")
def ten_page(ten):
    """Its page."""
    return write_report(ten, images=False)


def with_values(spec, same=False):
    if spec.method == "erm" or same:
        return spec
    hp = {"layers": 2 + spec.trial % 3, "p": 0.5}
    return dataclasses.replace(spec, hp=hp, training={"learning_rate": 10.0 ** -(1 + spec.trial % 4), "batch": 2})


def text_of(page):
    return re.sub(r"<script.*?</script>|<style.*?</style>", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)


def test_a_study_holds_every_trial_with_its_value_and_what_differed():
    params = {"rate": [1e-4, 1e-1, 1e-2], "layers": [2, 4, 3], "kind": ["a", "b", "a"], "p": [0.1, 0.2, 0.3]}
    study = study_of(params, [0.1, 0.9, 0.5])
    assert [trial.value for trial in study.trials] == [0.1, 0.9, 0.5]
    assert study.best_trial.params == {"rate": 1e-1, "layers": 4, "kind": '"b"', "p": 0.2}
    spaces = study.trials[0].distributions
    assert spaces["rate"] == FloatDistribution(1e-4, 1e-1, log=True)
    assert spaces["layers"] == IntDistribution(2, 4)
    assert spaces["kind"] == CategoricalDistribution(['"a"', '"b"'])
    assert spaces["p"] == FloatDistribution(0.1, 0.3)


def test_the_importance_finds_the_hyperparameter_that_made_the_difference():
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    rng = np.random.default_rng(0)
    params = {"matters": list(rng.uniform(0, 1, 40)), "idle": list(rng.uniform(0, 1, 40))}
    study = study_of(params, [0.5 + 0.4 * value for value in params["matters"]])
    found = get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=0))
    assert found["matters"] > 0.9 > 0.1 > found["idle"]


def test_values_that_all_trials_share_are_no_search(build):
    specs = Ledger(build(trials=3, **SMALL)).read_plan().trials
    assert varied(specs) == {}
    assert set(varied([with_values(spec) for spec in specs if spec.method == "gin"])) == {
        "layers", "training.learning_rate"
    }  # fmt: skip


def test_a_cell_with_enough_trials_has_both_figures_and_its_numbers(ten):
    (cell,) = searched(read_evidence(ten)).cells
    assert [figure.key for figure in cell.figures] == ["search-0-parallel", "search-0-importance"]
    lines = [trace for trace in json.loads(cell.figures[0].json)["data"] if trace.get("mode") == "lines"]
    assert len(lines) == LEAST_FOR_IMPORTANCE
    assert lines[0]["customdata"][0][0] == "Dice in source validation"
    assert lines[0]["customdata"][1] == ["layers", "2"]
    bars = json.loads(cell.figures[1].json)["data"][0]
    assert set(bars["y"]) == {"layers", "training.learning_rate"}
    assert len(cell.rows) == LEAST_FOR_IMPORTANCE
    dice = [float(row[1]) for row in cell.rows]
    assert dice == sorted(dice, reverse=True)
    assert sum("(defaults)" in row[0] for row in cell.rows) == 1


def test_the_dice_of_a_trial_is_its_source_validation_and_not_a_target(tuned):
    output = tuned(3)
    ledger = Ledger(output)
    cases = ledger.cases_frame(ledger.read_plan())
    val = cases[(cases["method"] == "gin") & (cases["role"] == "val")].groupby("trial")["dice"].mean()
    (cell,) = searched(read_evidence(output)).cells
    found = {int(row[0].split(" ")[0]): float(row[1]) for row in cell.rows}
    assert found == {trial: pytest.approx(mean, abs=5e-4) for trial, mean in val.items()}


def test_too_few_trials_have_a_sentence_instead_of_an_importance(tuned):
    (cell,) = searched(read_evidence(tuned(LEAST_FOR_IMPORTANCE - 1))).cells
    assert [figure.key for figure in cell.figures] == ["search-0-parallel"]
    assert f"Too few for importances: {LEAST_FOR_IMPORTANCE} trials are the least" in cell.sentence


def test_trials_that_did_not_end_are_counted_and_not_drawn(build):
    output = build(trials=4, finished=1, **SMALL)
    cells = searched(read_evidence(output)).cells
    assert all(not cell.figures for cell in cells)
    assert "1 of 4 trials ran to the end" in cells[0].sentence
    assert "0 of 4 trials ran to the end" in cells[1].sentence


def test_trials_with_equal_hyperparameters_are_said_to_be_equal(tuned):
    (cell,) = searched(read_evidence(tuned(3, same=True))).cells
    assert "all the same" in cell.sentence
    assert cell.figures == ()


def test_a_sweep_of_single_trials_searched_nothing(build):
    found = searched(read_evidence(build(**SMALL)))
    assert found.cells == ()
    assert "nothing was searched" in found.sentence


def test_the_page_shows_the_section_and_the_csv_its_values(ten_page):
    text = text_of(ten_page)
    assert 'href="#hyperparameters"' in text
    assert "rough below dozens of trials" in text
    table = pd.read_csv(ten_page.parent / "tables/searched.csv")
    assert set(table["hyperparameter"]) == {"layers", "training.learning_rate"}
    assert len(table) == 2 * LEAST_FOR_IMPORTANCE


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine (Debian: apt-get install chromium)")
def test_the_figures_draw_without_a_complaint(ten_page, browser):
    browser.open(ten_page)
    browser.wait("document.querySelectorAll('#hyperparameters .plot .main-svg').length >= 2")
    browser.wait("document.querySelectorAll('#costs .plot .main-svg').length >= 2")
    assert browser.complaints() == []
    assert browser.requests() == []


def test_drawing_searches_loads_no_torch(ten):
    code = (
        "import sys\nfrom pathlib import Path\nfrom dgsweep.report.evidence import read_evidence\n"
        "from dgsweep.report.searched import searched\n"
        "print(len(searched(read_evidence(Path(sys.argv[1]))).cells[0].figures), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(ten)], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "2 False", done.stderr[-500:]


def costs(output):
    evidence = read_evidence(output)
    return cost_and_quality(evidence, main_panel(panels(evidence)))


def test_without_recorded_holdings_hours_are_those_of_training_summed_over_all_trials(tuned):
    table = costs(tuned(3)).set_index(["arm", "role"])
    assert table.loc[("gin", "in_domain"), "hours"] == pytest.approx(3 * 265 / 3600)
    assert table.loc[("erm", "in_domain"), "hours"] == pytest.approx(240 / 3600)
    assert table.loc[("gin", "in_domain"), "forward_passes"] == 3 * 1000
    assert set(table["unit"]) == {"hours of training"}


def test_core_hours_are_what_the_trials_held(tuned):
    output = tuned(2)
    ledger = Ledger(output)
    for index, spec in enumerate(ledger.read_plan().trials):
        write_cost(ledger.paths(spec.trial_id), TrialCost(core_s=3600.0 * (index + 1)))
    table = costs(output).set_index("arm")
    assert set(table["unit"]) == {"core-hours"}
    assert table.loc["erm", "hours"] == 1.0
    assert table.loc["gin", "hours"] == 2.0 + 3.0


def test_gpu_hours_take_the_place_of_core_hours_and_who_recorded_none_is_named(tuned):
    output = tuned(2)
    ledger = Ledger(output)
    gin = [spec for spec in ledger.read_plan().trials if spec.method == "gin"]
    for spec in gin:
        write_cost(ledger.paths(spec.trial_id), TrialCost(core_s=9.0, gpu_s=1800.0))
    table = costs(output)
    assert set(table["unit"]) == {"GPU-hours"}
    assert table.set_index("arm").loc["gin", "hours"] == 1.0
    hours, passes = cost_figures(table, several_networks=False)
    assert "Not recorded for erm" in hours.description
    assert "Not recorded" not in passes.description


def test_a_sweep_without_scores_draws_no_cost(build):
    table = costs(build(finished=0, **SMALL))
    assert table.empty
    assert cost_figures(table, several_networks=False) == []
