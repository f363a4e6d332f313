"""What a sweep that searches runs, stops and remembers; inline, since Ray only places what is proposed."""

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from mlflow import MlflowClient
from optuna.distributions import FloatDistribution
from search_stand_in import TINY, make_search, make_searched_run, score, sweep_inline, trials_of

from dgsweep.errors import TrialPrunedError
from dgsweep.execution.attempt import Attempt
from dgsweep.execution.caps import Holding
from dgsweep.execution.cell_study import CellStudy, Rungs
from dgsweep.execution.outcome import SweepInterruptedError, SweepOutcome
from dgsweep.execution.prepare import Prepared
from dgsweep.execution.printout import run_document
from dgsweep.execution.pulse import Pulse
from dgsweep.execution.search import startup_trials
from dgsweep.execution.state_table import sweep_status
from dgsweep.plan.trial import Plan
from dgsweep.records.ledger import Ledger
from dgsweep.report.evidence import read_evidence
from dgsweep.report.totals import budget, cost_table, is_finished, tiles, unfinished_searches

BOTH = {"trials": 6, "sampler": "optuna", "scheduler": "asha"}


def states(ledger: Ledger, plan: Plan) -> dict[str, str]:
    return {spec.trial_id: str(ledger.state(spec)) for spec in plan.trials}


def starts(diary: Path) -> dict[str, int]:
    """Trial id -> how often it was started."""
    names = [page.name.partition(".")[0] for page in diary.iterdir()]
    return {name: names.count(name) for name in names}


def test_each_cell_gets_its_trials_the_defaults_first_and_no_trial_twice(tmp_path: Path) -> None:
    parts = make_search(tmp_path, methods=["erm", "gin", "rsc"], search={**BOTH, "trials": 4, "scheduler": "none"})
    outcome = sweep_inline(parts, make_searched_run(tmp_path / "diary"))
    plan = Ledger(tmp_path / "out").read_plan()
    assert [(spec.method, spec.trial) for spec in plan.trials] == [
        *(("erm", 0), ("gin", 0), ("rsc", 0)),
        *((method, trial) for trial in (1, 2, 3) for method in ("erm", "gin")),
    ]
    assert (outcome.done, outcome.pruned, outcome.exit_code) == (9, 0, 0)
    assert len({spec.trial_id for spec in plan.trials}) == 9
    assert set(starts(tmp_path / "diary").values()) == {1}


def test_a_cell_whose_space_is_used_up_takes_every_point_once(tmp_path: Path) -> None:
    parts = make_search(tmp_path, methods=["gin"], spaces={"gin": TINY}, search={"trials": 50, "sampler": "optuna"})
    sweep_inline(parts, make_searched_run(tmp_path / "diary"))
    values = [
        json.dumps([spec.hp["layers"], spec.hp["kernels"]]) for spec in Ledger(tmp_path / "out").read_plan().trials
    ]
    assert sorted(values) == ["[2, [1, 3]]", "[2, [1]]", "[3, [1, 3]]", "[3, [1]]", "[4, [1, 3]]"]


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep that nobody stopped."""
    folder = tmp_path_factory.mktemp("straight")
    sweep_inline(make_search(folder, methods=["erm"], search=BOTH), make_searched_run(folder / "diary"))
    return folder


@pytest.mark.parametrize("stop_at", [3, 10, 20])
def test_a_sweep_that_is_stopped_anywhere_goes_on_to_what_it_would_have_been(
    tmp_path: Path, straight: Path, stop_at: int
) -> None:
    """Stopped at its n-th validation: within the first trial, at the first rung of the second, and later."""
    parts, validations = make_search(tmp_path, methods=["erm"], search=BOTH), list[str]()

    def stop(trial_id: str, step: int) -> None:
        validations.append(trial_id)
        if len(validations) == stop_at:
            raise KeyboardInterrupt

    with pytest.raises(SweepInterruptedError):
        sweep_inline(parts, make_searched_run(tmp_path / "diary", before_report=stop))
    sweep_inline(parts, make_searched_run(tmp_path / "diary"))
    ledgers = [Ledger(folder / "out") for folder in (straight, tmp_path)]
    plans = [ledger.read_plan() for ledger in ledgers]
    assert trials_of(plans[0]) == trials_of(plans[1])
    assert states(ledgers[0], plans[0]) == states(ledgers[1], plans[1])
    again = {name for name, count in starts(tmp_path / "diary").items() if count > 1}
    assert again == {validations[-1]}


def test_what_a_lost_plan_json_knew_is_found_in_the_folders_of_its_trials(tmp_path: Path) -> None:
    parts = make_search(tmp_path, methods=["erm"], search=BOTH)
    sweep_inline(parts, make_searched_run(tmp_path / "diary"))
    ledger = Ledger(tmp_path / "out")
    before = trials_of(ledger.read_plan())
    ledger.files.plan.write_text("{")
    outcome = sweep_inline(parts, make_searched_run(tmp_path / "diary"))
    assert (outcome.done, outcome.pruned, outcome.reused) == (0, 0, 6)
    assert trials_of(ledger.read_plan()) == before


def test_more_trials_are_proposed_on_top_of_those_that_are_there(tmp_path: Path) -> None:
    run = make_searched_run(tmp_path / "diary")
    sweep_inline(make_search(tmp_path, methods=["erm"], search={**BOTH, "trials": 4}), run)
    before = trials_of(Ledger(tmp_path / "out").read_plan())
    outcome = sweep_inline(make_search(tmp_path, methods=["erm"], search=BOTH), run)
    after = trials_of(Ledger(tmp_path / "out").read_plan())
    assert (outcome.reused, outcome.done + outcome.pruned) == (4, 2)
    assert after[:4] == before
    assert len(after) == 6


def test_a_proposed_trial_stands_in_plan_json_before_it_begins(tmp_path: Path) -> None:
    parts, missing = make_search(tmp_path, methods=["erm"], search=BOTH), list[str]()

    def look(trial_id: str, step: int) -> None:
        if trial_id not in {spec.trial_id for spec in Ledger(tmp_path / "out").read_plan().trials}:
            missing.append(trial_id)

    sweep_inline(parts, make_searched_run(tmp_path / "diary", before_report=look))
    assert missing == []
    assert len(starts(tmp_path / "diary")) == 6


def test_the_first_trials_are_those_of_the_random_sampler_and_later_ones_are_not(tmp_path: Path) -> None:
    parts = make_search(tmp_path, methods=["erm"], search={"trials": 8, "sampler": "optuna"})
    sweep_inline(parts, make_searched_run(tmp_path / "diary"))
    proposed = trials_of(Ledger(tmp_path / "out").read_plan())
    drawn = trials_of(make_search(tmp_path, methods=["erm"], search={"trials": 8})[1])
    assert startup_trials(8) == 2
    assert [proposed.index(trial) for trial in proposed if trial in drawn] == [0, 1]


def test_a_pruned_trial_keeps_its_curve_and_its_cost_and_is_not_run_again(tmp_path: Path) -> None:
    parts = make_search(tmp_path, methods=["erm"], search={"trials": 4, "scheduler": "asha"})
    outcome = sweep_inline(parts, make_searched_run(tmp_path / "diary", value=falling))
    ledger, plan = Ledger(tmp_path / "out"), parts[1]
    assert list(states(ledger, plan).values()) == ["done", "pruned", "pruned", "pruned"]
    assert (outcome.done, outcome.pruned, outcome.failed, outcome.exit_code) == (1, 3, (), 0)
    stopped = plan.trials[1].trial_id
    assert list(ledger.curves(stopped)["step"]) == [10]
    assert ledger.provenance(stopped) == {"pruned": True, "steps": 10, "train_wall_s": 1.0}
    assert "asha" in ledger.status(plan.trials[1]).cause
    again = sweep_inline(parts, make_searched_run(tmp_path / "diary", value=falling))
    assert (again.done, again.reused, again.pruned) == (0, 4, 0)
    assert set(starts(tmp_path / "diary").values()) == {1}


def falling(spec) -> float:
    """Each trial is worse than those before."""
    return 0.9 - 0.1 * spec["trial"]


def test_a_pruned_trial_goes_on_once_there_is_no_scheduler(tmp_path: Path) -> None:
    run = make_searched_run(tmp_path / "diary", value=falling)
    sweep_inline(make_search(tmp_path, methods=["erm"], search={"trials": 3, "scheduler": "asha"}), run)
    outcome = sweep_inline(make_search(tmp_path, methods=["erm"], search={"trials": 3}), run)
    assert (outcome.done, outcome.reused, outcome.pruned) == (2, 1, 0)


def test_the_defaults_are_never_stopped_and_no_trial_is_after_its_last_step(tmp_path: Path) -> None:
    def rising(spec) -> float:
        return 0.1 + 0.1 * spec["trial"]

    search = {"trials": 3, "scheduler": "asha", "reduction": 2, "min_steps": 90}
    parts = make_search(tmp_path, methods=["erm"], search=search)
    assert sweep_inline(parts, make_searched_run(tmp_path / "diary", value=falling)).pruned == 0
    (tmp_path / "b").mkdir()
    parts = make_search(tmp_path / "b", methods=["erm"], search={"trials": 3, "scheduler": "asha"})
    sweep_inline(parts, make_searched_run(tmp_path / "b" / "diary", value=rising))
    assert set(states(Ledger(tmp_path / "b" / "out"), parts[1]).values()) == {"done"}


def test_a_cell_is_never_judged_by_another(tmp_path: Path) -> None:
    def better_elsewhere(spec) -> float:
        return 0.05 * score(spec) if spec["method"] == "gin" else score(spec)

    found = []
    for name, methods in (("alone", ["gin"]), ("beside", ["erm", "gin"])):
        (tmp_path / name).mkdir()
        parts = make_search(tmp_path / name, methods=methods, search=BOTH)
        sweep_inline(parts, make_searched_run(tmp_path / name / "diary", value=better_elsewhere))
        ledger = Ledger(tmp_path / name / "out")
        plan = ledger.read_plan()
        own = replace(plan, trials=tuple(spec for spec in plan.trials if spec.method == "gin"))
        found.append((trials_of(own), states(ledger, own)))
    assert found[0] == found[1]
    assert set(found[0][1].values()) == {"done", "pruned"}


def test_targets_steer_nothing(tmp_path: Path) -> None:
    found = []
    for name, target in (("bad", 0.0), ("good", 1.0)):
        (tmp_path / name).mkdir()
        parts = make_search(tmp_path / name, methods=["erm"], search=BOTH)
        run = make_searched_run(tmp_path / name / "diary", target=lambda spec, base=target: abs(base - score(spec)))
        sweep_inline(parts, run)
        ledger = Ledger(tmp_path / name / "out")
        plan = ledger.read_plan()
        cases = ledger.cases_frame(plan)
        found.append((trials_of(plan), states(ledger, plan), list(cases[cases["role"] == "target"]["dice"])))
    assert found[0][:2] == found[1][:2]
    assert found[0][2] != found[1][2]


def test_a_failed_trial_counts_teaches_nothing_and_is_tried_again(tmp_path: Path) -> None:
    parts = make_search(tmp_path, methods=["erm"], search={"trials": 4, "sampler": "optuna"})
    run = make_searched_run(tmp_path / "diary", fails={1})
    outcome = sweep_inline(parts, run)
    assert (outcome.done, len(outcome.failed), outcome.exit_code) == (3, 1, 1)
    again = sweep_inline(parts, make_searched_run(tmp_path / "diary"))
    assert (again.done, again.reused, again.exit_code) == (1, 3, 0)
    assert len(Ledger(tmp_path / "out").read_plan().trials) == 4


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished sweep of two done and two pruned trials, and one that a person stopped."""
    folder = tmp_path_factory.mktemp("alone") / "shown"  # the database lies beside it, and no other test writes to it
    folder.mkdir()
    parts = make_search(folder, methods=["erm"], search={"trials": 4, "scheduler": "asha", "sampler": "optuna"})
    sweep_inline(parts, make_searched_run(folder / "diary", value=lambda spec: (0.5, 0.9, 0.3, 0.2)[spec["trial"]]))
    return folder


def test_mlflow_shows_a_pruned_trial_with_its_curve_its_cost_and_the_reason(shown: Path) -> None:
    client = MlflowClient(f"sqlite:///{shown.parent / 'mlflow.db'}")
    pruned = next(spec for spec in Ledger(shown / "out").read_plan().trials if spec.trial == 2)
    experiments = [found.experiment_id for found in client.search_experiments()]
    (run,) = client.search_runs(experiments, f"tags.`dgsweep.trial_id` = '{pruned.trial_id}'")
    assert (run.info.status, run.data.tags["dgsweep.state"]) == ("KILLED", "pruned")
    assert "asha" in run.data.tags["dgsweep.cause"]
    assert run.data.metrics["cost/steps"] == 10
    assert any(run.data.metrics[name] == pytest.approx(0.3 / 9) for name in run.data.metrics)


def test_status_and_report_count_pruned_trials_and_those_to_propose(shown: Path) -> None:
    ledger = Ledger(shown / "out")
    evidence = read_evidence(shown / "out")
    assert sweep_status(ledger)["counts"] == {"done": 2, "pruned": 2}
    assert [(tile.state, tile.trials) for tile in tiles(evidence)] == [("done", 2), ("pruned", 2)]
    assert is_finished(evidence)
    assert budget(evidence.plan) == (
        True,
        "Equal for every method: 90 steps a trial, 4 trial(s) a cell. Trials that the scheduler stopped early count as "
        "trials, and cost the steps that they took.",
    )
    (cost,) = cost_table(evidence).to_dict("records")
    assert (cost["trials"], cost["pruned"], cost["steps"]) == (4, 2, "90")
    assert cost["total_s"] == pytest.approx(2 * 0.0 + 2 * 1.0)
    assert unfinished_searches(evidence.plan, {spec.trial_id for spec in evidence.plan.trials}) == []
    longer = make_search(shown, methods=["erm"], search={"trials": 7, "scheduler": "asha", "sampler": "optuna"})[1]
    known = replace(longer, trials=evidence.plan.trials)
    assert sweep_status(ledger, known)["counts"] == {"done": 2, "pruned": 2, "to propose": 3}
    assert not is_finished(replace(evidence, plan=known))
    assert unfinished_searches(known, {spec.trial_id for spec in known.trials}) == [
        f"{known.trials[0].name.rpartition(' trial ')[0]}: 4 of 7"
    ]


def test_the_printed_matrix_is_of_the_best_trial_and_not_of_those_that_were_planned(shown: Path) -> None:
    search = {"trials": 4, "scheduler": "asha", "sampler": "optuna"}
    config, plan, manifest = make_search(shown, methods=["erm"], search=search)
    outcome = SweepOutcome(done=2, reused=0, failed=(), wall_s=1.0, pruned=2)
    document = run_document(Prepared(config=config, manifest=manifest, plan=plan), outcome)
    assert [spec.trial for spec in plan.trials] == [0]
    assert [row["T2W"][:4] for row in document["matrix"]] == ["0.90"]
    assert document["pruned"] == 2


def test_successive_halving_keeps_the_best_of_three_at_each_rung() -> None:
    study = CellStudy("cell", {}, Rungs(first_steps=10, reduction=3))
    for name in "abcdef":
        study.add(name, {})
    firsts = [
        study.falls_behind(name, 10, value)
        for name, value in zip("abcdef", (0.5, 0.4, 0.6, 0.55, 0.1, 0.58), strict=True)
    ]
    # a is alone, b is not the best of two, c is the best of three, d and e are not; of six, two go on: 0.6 and 0.58
    assert firsts == [False, True, False, True, True, False]
    assert [study.falls_behind("a", 20, 0.0), study.falls_behind("a", 30, 0.5)] == [False, False]
    assert study.falls_behind("c", 30, 0.4)  # the next rung, at 30 steps, where a had 0.5
    assert study.falls_behind("c", 30, 0.4)  # told again after a restart: the judgement stands
    assert not study.falls_behind("c", 10, 0.0)  # and so does that it went on from there


def test_proposals_come_nearer_to_the_best_value_than_draws_do() -> None:
    study, found = CellStudy("cell", {"x": FloatDistribution(0.0, 1.0)}, None), list[float]()
    for number in range(40):
        params = study.propose(number, 0)
        study.add(str(number), params)
        study.done(str(number), 1.0 - abs(params["x"] - 0.25))
        found.append(abs(params["x"] - 0.25))
    by_chance = 0.3125  # mean of |x - 1/4| for x uniform in [0, 1]
    assert sum(found[20:]) / 20 < 0.5 * by_chance


def test_proposals_follow_from_the_history_alone() -> None:
    def told(*values: float, cell: str = "cell") -> CellStudy:
        study = CellStudy(cell, {"x": FloatDistribution(0.0, 1.0)}, None)
        for number, value in enumerate(values):
            study.add(str(number), {"x": value})
            study.done(str(number), 1.0 - abs(value - 0.25))
        return study

    one, same = told(0.1, 0.3, 0.9), told(0.1, 0.3, 0.9)
    one.propose(3, 0)
    assert one.propose(3, 1) == same.propose(3, 1)
    others = [
        told(0.1, 0.3, 0.9).propose(3, 0),
        told(0.1, 0.7, 0.9).propose(3, 1),
        told(0.1, 0.3, 0.9, cell="other").propose(3, 1),
    ]
    assert same.propose(3, 1) not in others


def test_a_training_ends_at_the_step_after_its_note_in_the_ledger(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    by = {"beats": True, "attempt": Attempt(ledger, "t"), "holding": Holding(cores=1, gpus=0)}
    with Pulse(ledger, "t", **by, watches=True) as watching, Pulse(ledger, "t", **by) as blind:
        watching.step(1)
        ledger.prune("t", "asha: behind", step=1, wall_s=0.1)
        watching._thread.join(timeout=10)
        with pytest.raises(TrialPrunedError):
            watching.step(2)
        blind.step(2)
    assert ledger.failure("t")["step"] == 1


def test_a_sign_of_life_after_the_note_does_not_bring_a_pruned_trial_back(tmp_path: Path) -> None:
    config, plan, _ = make_search(tmp_path, methods=["erm"])
    (spec,) = plan.trials
    ledger = Ledger(Path(config.output))
    ledger.begin(spec)
    ledger.prune(spec.trial_id, "asha: behind", step=10, wall_s=0.1)
    ledger.heartbeat(spec.trial_id, {"phase": "train", "step": 11})
    assert (ledger.state(spec), ledger.status(spec).progress) == ("pruned", {"step": 10})
    ledger.fail(spec.trial_id, "broken")
    ledger.heartbeat(spec.trial_id, {"phase": "train", "step": 11})
    assert ledger.state(spec) == "running"
    assert pd.DataFrame(ledger.states(plan))["state"].tolist() == ["running"]
