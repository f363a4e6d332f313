"""Trials on a real Ray of two cores: placement, failure policy, and what is not shown."""

from dataclasses import replace
from pathlib import Path

import pytest
from execution_stand_in import make_config, make_manifest, make_plan, make_run, make_spec, quiet, read_diary

from dgsweep.errors import InputError, ResourceError
from dgsweep.execution.cluster import require_same_version
from dgsweep.execution.events import Run
from dgsweep.execution.outcome import SweepOutcome
from dgsweep.execution.sweep import run_sweep
from dgsweep.plan.trial import Plan
from dgsweep.records.ledger import Ledger


def sweep(folder: Path, plan: Plan, run: Run, **resources: int) -> SweepOutcome:
    return run_sweep(make_config(folder, **resources), plan, make_manifest(folder), console=quiet(), run=run)


@pytest.mark.usefixtures("two_cpu_ray")
def test_a_killed_worker_is_started_again_and_a_failing_trial_is_recorded_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = make_plan(make_spec("bad"), make_spec("killed"))
    run = make_run(tmp_path / "diary", behaviour={"bad": "fails", "killed": "dies_once"})
    outcome = sweep(tmp_path, plan, run)
    assert [(failed.trial_id, failed.cause) for failed in outcome.failed] == [
        ("bad", "the loss is not a number at step 2")
    ]
    assert outcome.done == 1
    assert list(read_diary(tmp_path / "diary")) == ["bad.0.0", "killed.0.0", "killed.0.1"]
    assert [Ledger(tmp_path / "out").state(spec) for spec in plan.trials] == ["failed", "done"]
    assert list((tmp_path / "out" / ".ray").iterdir()) == []
    assert capsys.readouterr().out == ""


@pytest.mark.usefixtures("two_cpu_ray")
def test_trials_in_a_row_share_a_process_and_a_failed_one_takes_it_along(tmp_path: Path) -> None:
    plan = make_plan(*(make_spec(name) for name in ("first", "second", "third")))
    run = make_run(tmp_path / "diary", behaviour={"second": "fails"})
    sweep(tmp_path, plan, run, cpus_per_trial=2)
    pids = {name.split(".")[0]: page["pid"] for name, page in read_diary(tmp_path / "diary").items()}
    assert pids["first"] == pids["second"]
    assert pids["third"] != pids["second"]


@pytest.mark.usefixtures("two_cpu_ray")
def test_a_pretraining_ends_before_what_starts_from_it_begins_although_a_core_is_free(tmp_path: Path) -> None:
    first = replace(make_spec("first", targets=()), phase="pretrain", score_shas={})
    plan = replace(make_plan(replace(make_spec("second"), depends_on=("first",))), pretraining=(first,))
    outcome = sweep(tmp_path, plan, make_run(tmp_path / "diary", seconds=1.0))
    pages = read_diary(tmp_path / "diary")
    assert (outcome.done, outcome.reused) == (2, 0)
    assert pages["first.0.0"]["end"] <= pages["second.0.0"]["start"]


@pytest.mark.usefixtures("two_cpu_ray")
def test_two_workers_are_ranks_0_and_1_of_2_with_one_thread_each(tmp_path: Path) -> None:
    outcome = sweep(tmp_path, make_plan(make_spec("pair")), make_run(tmp_path / "diary"), workers_per_trial=2)
    pages = read_diary(tmp_path / "diary").values()
    assert outcome.done == 1
    assert [(page["rank"], page["world"], page["threads"]) for page in pages] == [(0, 2, 1), (1, 2, 1)]


@pytest.mark.usefixtures("two_cpu_ray")
def test_a_request_that_no_node_can_meet_exits_2(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match=r"has 2 core\(s\) and 0 GPU\(s\)") as refused:
        sweep(tmp_path, make_plan(make_spec("one")), make_run(tmp_path / "diary"), cpus_per_trial=3)
    assert refused.value.exit_code == 2


@pytest.mark.usefixtures("two_cpu_ray")
def test_a_node_with_another_version_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    require_same_version(ray.nodes())
    monkeypatch.setattr("dgsweep.execution.cluster.__version__", "99.0")
    with pytest.raises(InputError, match=r"node [\d.]+: dgsweep \d.* -> dgsweep 99\.0: install it there"):
        require_same_version(ray.nodes())


@pytest.mark.slow
@pytest.mark.usefixtures("two_cpu_ray")
def test_no_more_trials_run_at_a_time_than_fit(tmp_path: Path) -> None:
    plan = make_plan(*(make_spec(name) for name in ("one", "two", "three", "four")))
    assert sweep(tmp_path, plan, make_run(tmp_path / "diary", seconds=2.0)).done == 4
    pages = read_diary(tmp_path / "diary").values()
    together = [sum(other["start"] <= page["start"] < other["end"] for other in pages) for page in pages]
    assert max(together) == 2


@pytest.mark.slow
@pytest.mark.usefixtures("two_cpu_ray")
def test_a_worker_that_keeps_dying_fails_its_trial_only(tmp_path: Path) -> None:
    plan = make_plan(make_spec("cursed"), make_spec("good"))
    outcome = sweep(tmp_path, plan, make_run(tmp_path / "diary", behaviour={"cursed": "dies"}), max_failures=1)
    assert [failed.trial_id for failed in outcome.failed] == ["cursed"]
    assert "rank 0" in outcome.failed[0].cause
    assert outcome.done == 1
    assert len([page for page in read_diary(tmp_path / "diary") if page.startswith("cursed")]) == 2


@pytest.mark.slow
@pytest.mark.usefixtures("two_cpu_ray")
def test_a_failure_of_one_rank_ends_the_trial_for_all(tmp_path: Path) -> None:
    run = make_run(tmp_path / "diary", behaviour={"pair": "fails"})
    outcome = sweep(tmp_path, make_plan(make_spec("pair")), run, workers_per_trial=2)
    assert [failed.cause for failed in outcome.failed] == ["the loss is not a number at step 2"]
