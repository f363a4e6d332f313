"""kill -9 of each part of a cluster while a sweep runs on it: the table is that of the undisturbed run."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from fault_cluster import CONTROLLER, DESK, TUNE_PART, WORKER, FaultCluster
from fault_sweep import CHECKPOINT_EVERY, FaultSweep

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def until(condition: Callable[[], object], timeout_s: float = 240.0) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, f"nothing happened within {timeout_s:.0f} s"
        time.sleep(0.2)


def trains(sweep: FaultSweep, steps: int = 8) -> Callable[[], bool]:
    """Whether a trial has trained so many steps that it left a checkpoint."""
    return lambda: any(attempt[-1][-1] >= steps for attempt in sweep.attempts().values())


def require_undisturbed(sweep: FaultSweep, undisturbed: pd.DataFrame) -> None:
    """Equal to the last digit, one MLflow run a trial, at most one checkpoint interval trained again."""
    pd.testing.assert_frame_equal(sweep.table(), undisturbed, check_exact=True)
    assert [run.info.status for run in sweep.trial_runs()] == ["FINISHED"] * sweep.seeds
    assert max(sweep.repeated(), default=0) <= CHECKPOINT_EVERY


@pytest.mark.parametrize(
    "titles",
    [(WORKER,), (CONTROLLER,), TUNE_PART, (DESK,)],
    ids=["worker", "controller", "tune_part", "desk"],
)
def test_a_killed_actor_of_a_trial_is_replaced_and_the_driver_goes_on(
    tmp_path: Path, manifest: Path, undisturbed: pd.DataFrame, titles: tuple[str, ...]
) -> None:
    sweep = FaultSweep(folder=tmp_path, manifest=manifest)
    with FaultCluster(**sweep.variables) as cluster:
        driver = sweep.start("--address", cluster.address)
        until(trains(sweep))
        victims = cluster.actors(*titles)
        assert victims, "nobody was killed"
        for process in victims:
            process.kill()
        assert driver.wait(600) == 0, sweep.log()
    require_undisturbed(sweep, undisturbed)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["kill", "preempted"])
def test_trials_of_a_raylet_that_dies_go_on_elsewhere_and_the_driver_goes_on(
    tmp_path: Path, manifest: Path, undisturbed: pd.DataFrame, number: int
) -> None:
    sweep = FaultSweep(folder=tmp_path, manifest=manifest, steps=60)
    with FaultCluster(**sweep.variables) as cluster:
        driver = sweep.start("--address", cluster.address)
        until(trains(sweep))
        cluster.kill_raylet(cluster.raylets()[0], number)
        assert driver.wait(600) == 0, sweep.log()
        assert len(cluster.raylets()) == 1
    require_undisturbed(sweep, undisturbed)


def test_a_killed_driver_that_is_started_again_trains_nothing_twice(
    tmp_path: Path, manifest: Path, undisturbed: pd.DataFrame
) -> None:
    sweep = FaultSweep(folder=tmp_path, manifest=manifest)
    with FaultCluster(**sweep.variables) as cluster:
        driver = sweep.start("--address", cluster.address)
        until(trains(sweep))
        os.kill(driver.pid, signal.SIGKILL)
        driver.wait()
        assert sweep.run("--address", cluster.address, timeout_s=600) == 0, sweep.log()
    require_undisturbed(sweep, undisturbed)
    assert sum(map(len, sweep.attempts().values())) > sweep.seeds, "it was killed too late"


def test_when_the_head_dies_the_driver_says_what_to_do_and_a_new_cluster_goes_on(
    tmp_path: Path, manifest: Path, undisturbed: pd.DataFrame
) -> None:
    sweep = FaultSweep(folder=tmp_path, manifest=manifest)
    with FaultCluster(**sweep.variables) as cluster:
        driver = sweep.start("--address", cluster.address)
        until(trains(sweep))
        os.kill(cluster.gcs(), signal.SIGKILL)
        began = time.monotonic()
        code = driver.wait(300)
        took_s = time.monotonic() - began
        assert "the head of the Ray cluster" in sweep.log(), f"{code} after {took_s:.0f} s: {sweep.log()}"
        assert "To go on: " in sweep.log()
        assert code == 1
        assert took_s > 30, "it did not wait for the head to come back"
        cluster.kill_everything()
        cluster.start()
        assert sweep.run("--address", cluster.address, timeout_s=600) == 0, sweep.log()
    require_undisturbed(sweep, undisturbed)
