"""A search on a real Ray: what is proposed runs, and a stopped trial frees its workers at once (ray#54305)."""

import json
import time
from pathlib import Path

import pytest
import ray
import search_stand_in
from execution_stand_in import quiet
from search_stand_in import make_search, make_searched_run, trials_of

from dgsweep.execution.sweep import run_sweep
from dgsweep.records.ledger import Ledger

EACH_STEP_S = 5.0


def read(page: Path) -> dict[str, float]:
    try:
        found: dict[str, float] = json.loads(page.read_text())
    except ValueError:  # while it is written
        return {}
    return found


@pytest.mark.slow
@pytest.mark.usefixtures("two_cpu_ray")
def test_a_stopped_trial_frees_its_core_while_another_still_runs_and_no_trial_is_lost(tmp_path: Path) -> None:
    ray.cloudpickle.register_pickle_by_value(search_stand_in)
    search = {"trials": 4, "sampler": "optuna", "scheduler": "asha"}
    config, plan, manifest = make_search(tmp_path, methods=["erm"], search=search)
    diary, first = tmp_path / "diary", plan.trials[0].trial_id

    def worse_and_later(spec) -> float:
        """Trial 0 is the best, and has been judged before any other is."""
        while spec["trial_id"] != first and not any(
            read(page).get("step", 0) > 20 for page in diary.glob(f"{first}.*")
        ):
            time.sleep(0.1)
        return 0.9 - 0.1 * spec["trial"]

    def slow(trial_id: str, step: int) -> None:
        time.sleep(EACH_STEP_S if trial_id == first else 0.3)

    run = make_searched_run(diary, before_report=slow, value=worse_and_later)
    outcome = run_sweep(config, plan, manifest, console=quiet(), run=run)
    ledger = Ledger(tmp_path / "out")
    states = [ledger.state(spec) for spec in ledger.read_plan().trials]
    assert (states, outcome.failed) == (["done", "pruned", "pruned", "pruned"], ())
    assert [trial for _, trial, _ in trials_of(ledger.read_plan())] == [0, 1, 2, 3]
    ends = {found["trial"]: found for found in map(read, diary.iterdir())}
    assert ends[0]["step"] == 90
    assert ends[2]["time"] < ends[0]["time"]  # it ran on the core of trial 1, which was stopped, beside trial 0
    assert ray.available_resources()["CPU"] == 2.0
