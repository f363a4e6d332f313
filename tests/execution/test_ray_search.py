"""A search on a real Ray: what is proposed runs, and a stopped trial frees its workers at once (ray#54305)."""

import time
from pathlib import Path

import pytest
import ray
import search_stand_in
from execution_stand_in import quiet
from search_stand_in import make_search, make_searched_run, read_page, trials_of

from dgsweep.execution.sweep import run_sweep
from dgsweep.records.ledger import Ledger

PATIENCE_S = 150.0


@pytest.mark.slow
@pytest.mark.usefixtures("two_cpu_ray")
def test_a_stopped_trial_frees_its_core_while_another_still_runs_and_no_trial_is_lost(tmp_path: Path) -> None:
    ray.cloudpickle.register_pickle_by_value(search_stand_in)
    search = {"trials": 4, "sampler": "optuna", "scheduler": "asha"}
    config, plan, manifest = make_search(tmp_path, methods=["erm"], search=search)
    diary, folder, first = tmp_path / "diary", tmp_path / "out", plan.trials[0].trial_id

    def wait_for(condition) -> None:
        """However slow the machine is; what never comes shows in the result."""
        for _ in range(round(PATIENCE_S / 0.1)):
            if condition():
                return
            time.sleep(0.1)

    def pages() -> list[dict[str, float]]:
        return [read_page(page) for page in diary.iterdir()]

    def worse_and_later(spec) -> float:
        """Trial 0 is the best, and is judged before any other."""
        if spec["trial"]:
            wait_for(lambda: any(page.get("trial") == 0 and page["step"] > 20 for page in pages()))
        return 0.9 - 0.1 * spec["trial"]

    def hold(trial_id: str, step: int) -> None:
        """Trial 0 does not end before trial 2 has begun; the others do not go on before they are judged."""
        if trial_id == first and step == 90:
            wait_for(lambda: any(page.get("trial") == 2 for page in pages()))
        if trial_id != first and step == 20:
            wait_for(lambda: Ledger(folder).is_pruned(trial_id))

    run = make_searched_run(diary, before_report=hold, value=worse_and_later)
    outcome = run_sweep(config, plan, manifest, console=quiet(), run=run)
    ledger = Ledger(folder)
    states = [ledger.state(spec) for spec in ledger.read_plan().trials]
    assert (states, outcome.failed) == (["done", "pruned", "pruned", "pruned"], ())
    assert [trial for _, trial, _ in trials_of(ledger.read_plan())] == [0, 1, 2, 3]
    begun = min(page["began"] for page in pages() if page["trial"] == 2)
    assert begun < ledger.paths(first).done.stat().st_mtime  # on the core of trial 1, beside trial 0
    assert ray.available_resources()["CPU"] == 2.0
