"""The last report of a trial and its end reach a Tune part that was too busy to take them one by one."""

import threading
import time
from pathlib import Path

import psutil
import pytest
import ray
from execution_stand_in import make_config, make_manifest, make_plan, make_run, make_spec, quiet
from fault_cluster import TUNE_PART

import dgsweep.execution.cluster
from dgsweep.execution.job import TrialJob, WorkerLink
from dgsweep.execution.sweep import run_sweep

PAUSE_S = 12


def resume_what_is_stopped(seen: list[int]) -> None:
    """Let stopped Tune parts go on 12 s later. Not from the worker: Ray kills a worker's children when it ends."""
    while True:
        for process in psutil.process_iter(["status"]):
            if process.info["status"] == psutil.STATUS_STOPPED and " ".join(process.cmdline()).startswith(TUNE_PART):
                time.sleep(PAUSE_S)
                process.resume()
                seen.append(process.pid)
        time.sleep(0.2)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_trial_whose_last_report_and_end_arrive_together_ends(tmp_path: Path) -> None:
    """The process that takes reports is stopped while the last one and the end are sent, and goes on 12 s later."""
    behind = make_run(tmp_path / "diary")
    titles = TUNE_PART
    resumed: list[int] = []

    def run(job: TrialJob, link: WorkerLink) -> None:
        behind(job, link)
        for process in psutil.Process().parent().children():
            if " ".join(process.cmdline()).startswith(titles):
                process.suspend()
        link.report({"step": 4, "steps": 4, "phase": "score"})

    plan, outcomes = make_plan(make_spec("one")), []
    with_ray = threading.Thread(
        target=lambda: outcomes.append(
            run_sweep(make_config(tmp_path), plan, make_manifest(tmp_path), console=quiet(), run=run)
        ),
        daemon=True,
    )
    own_ray = not ray.is_initialized()  # tests beside this one may have started a Ray that they go on with
    if own_ray:
        ray.init(address="local", num_cpus=2, num_gpus=0, include_dashboard=True, log_to_driver=False)
    try:
        import execution_stand_in

        ray.cloudpickle.register_pickle_by_value(execution_stand_in)
        assert dgsweep.execution.cluster.living_nodes()
        threading.Thread(target=resume_what_is_stopped, args=(resumed,), daemon=True).start()
        with_ray.start()
        with_ray.join(400)
        assert not with_ray.is_alive(), "the sweep waits for a trial that is finished"
        assert outcomes[0].done == 1
        assert resumed, "nothing was stopped: the test shows nothing"
    finally:
        if own_ray:
            ray.shutdown()
