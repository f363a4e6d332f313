"""Ten thousand trials: planning, reading the ledger, placing trials that do nothing, and logging. For docs/scale.md.

    python benchmarks/scale.py [ledger] [tune] [train] [weak] [mlflow]     (all of them: about half an hour)

What is known of earlier runs stays in `runs/scale.json`; with tune, train and mlflow it gives a forecast.

Process time stands beside wall time, since other work on the machine changes the latter. Figures of one run.
"""

import base64
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from made_ledger import fill, made_plan

from dgsweep.plan.file import read_plan
from dgsweep.plan.trial import Plan
from dgsweep.records.ledger import Ledger
from dgsweep.records.state import TrialState

SIZES = (100, 1_000, 10_000)
PATIENTS = 60
TUNE_TRIALS, TRAIN_TRIALS = 1_000, 50
RAYLETS = (1, 2, 4)
TRIALS_A_RAYLET, SLEEP_S = 4, 30.0
METRICS_A_RUN, RUNS = 30, 1_000
MADE = Path(os.environ.get("DGSWEEP_SCALE_FOLDER", tempfile.gettempdir())) / "dgsweep_scale"
"""Made ledgers are kept: finishing ten thousand trials takes longer than anything that is measured here."""


def timed(work: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """What the work gives, and its wall and process seconds."""
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    value = work()
    return value, {"wall_s": time.perf_counter() - wall_s, "cpu_s": time.process_time() - cpu_s}


def ledger() -> dict[str, Any]:
    """Planning, writing and reading plan.json, states of all trials, what is left to do, all scores and curves."""
    return {f"{trials} trials": _ledger_of(trials) for trials in SIZES}


def _ledger_of(trials: int) -> dict[str, Any]:
    folder = MADE / f"trials_{trials}"
    folder.mkdir(parents=True, exist_ok=True)
    plan, planned = timed(lambda: made_plan(folder, trials=trials, patients=PATIENTS))
    found = Ledger(folder / "sweep")
    missing = [spec for spec in plan.trials if found.state(spec) is not TrialState.DONE]
    if missing:
        fill(found, plan, missing)
    _, written = timed(lambda: found.write_plan(plan))
    _, read = timed(lambda: read_plan(found.files.plan))
    states, scanned = timed(lambda: found.states(plan))
    left, resumed = timed(lambda: [spec for spec in plan.trials if found.state(spec) is not TrialState.DONE])
    cases, scores = timed(lambda: found.cases_frame(plan))
    curves, points = timed(lambda: found.curves_frame(plan))
    assert (len(states), len(left)) == (len(plan.trials), 0)
    return {
        "plan": planned, "write_plan": written, "read_plan": read, "plan_mib": _mib(found.files.plan),
        "scan": scanned, "what_is_left": resumed, "cases": {**scores, "rows": len(cases)},
        "curves": {**points, "rows": len(curves)}, "peak_rss_mib": psutil.Process().memory_info().rss / 2**20,
    }  # fmt: skip


def _mib(path: Path) -> float:
    return path.stat().st_size / 2**20


def tune() -> dict[str, float]:
    """Seconds a trial of Tune alone: a thousand functions that report once, in actors that are used again."""
    from ray import tune as ray_tune

    from dgsweep.execution.ray_executor import NO_PROCESSOR

    def nothing(config: dict[str, Any]) -> None:
        ray_tune.report({"number": config["number"]})

    with _local_ray(cpus=2), tempfile.TemporaryDirectory() as storage:
        tuner = ray_tune.Tuner(
            ray_tune.with_resources(nothing, NO_PROCESSOR),
            param_space={"number": ray_tune.grid_search(list(range(TUNE_TRIALS)))},
            tune_config=ray_tune.TuneConfig(max_concurrent_trials=2, reuse_actors=True),
            run_config=ray_tune.RunConfig(storage_path=storage, verbose=0),
        )
        results, spent = timed(tuner.fit)
        assert (len(results), results.errors) == (TUNE_TRIALS, [])
    return {"trials": TUNE_TRIALS, "wall_s_per_trial": spent["wall_s"] / TUNE_TRIALS}


def train() -> dict[str, float]:
    """Seconds a trial of the whole path, Tune, Train, ledger and MLflow: fifty trials of nothing, two at once."""
    with _local_ray(cpus=2), tempfile.TemporaryDirectory() as folder:
        spent = _sweep_of_nothing(Path(folder), TRAIN_TRIALS, sleep_s=0.0)
    return {"trials": TRAIN_TRIALS, "at_once": 2, "wall_s_per_trial": spent / TRAIN_TRIALS}


def weak() -> dict[str, Any]:
    """Trials that sleep, four for each of 1, 2, 4 raylets of one core: what the driver's side adds as nodes are added.

    All raylets share this machine, so the start of workers is what limits; on real nodes each brings its own cores.
    """
    from ray.cluster_utils import Cluster

    found = {}
    for raylets in RAYLETS:
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": True})
        try:
            for _ in range(raylets - 1):
                cluster.add_node(num_cpus=1)
            cluster.connect()
            with tempfile.TemporaryDirectory() as folder:
                spent = _sweep_of_nothing(Path(folder), TRIALS_A_RAYLET * raylets, sleep_s=SLEEP_S)
        finally:
            import ray

            ray.shutdown()
            cluster.shutdown()
        ideal_s = TRIALS_A_RAYLET * SLEEP_S
        found[f"{raylets} raylets"] = {"wall_s": spent, "ideal_s": ideal_s, "efficiency": ideal_s / spent}
    return found


def mlflow() -> dict[str, Any]:
    """Metrics a second in batches, a search of a thousand runs, and their page in a browser; all on SQLite."""
    from mlflow import MlflowClient
    from mlflow.entities import Metric

    with tempfile.TemporaryDirectory() as folder:
        store = f"sqlite:///{folder}/mlflow.db"
        client = MlflowClient(store)
        experiment = client.create_experiment("scale", artifact_location=f"file://{folder}/artifacts")

        def fill_runs() -> None:
            for number in range(RUNS):
                run = client.create_run(experiment, tags={"dgsweep.trial": str(number)}).info.run_id
                points = [Metric(f"dice/{k}", 0.5, 0, step) for k in range(METRICS_A_RUN) for step in range(10)]
                client.log_batch(run, metrics=points)
                client.set_terminated(run)

        _, spent = timed(fill_runs)
        _, searched = timed(lambda: client.search_runs([experiment], max_results=RUNS, order_by=["metrics.`dice/1`"]))
        shown = _shown_in_browser(store, experiment, Path(folder)) if shutil.which("chromium") else {}
    return {
        "runs": RUNS, "seconds_a_run": spent["wall_s"] / RUNS,
        "metrics_per_s": RUNS * METRICS_A_RUN * 10 / spent["wall_s"], "search_all_sorted": searched, **shown,
    }  # fmt: skip


def _shown_in_browser(store: str, experiment: str, folder: Path) -> dict[str, Any]:
    """Seconds until the experiment's page shows its first runs, opened twice, and until a sorted one does."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "report"))
    from report_browser import Browser

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store, "--port", str(port)]
    quiet = subprocess.DEVNULL
    server = subprocess.Popen([*command, "--host", "127.0.0.1", "--workers", "2"], stdout=quiet, stderr=quiet)
    page = f"http://127.0.0.1:{port}/#/experiments/{experiment}/runs"
    rows = "document.querySelectorAll('[role=row]').length > 10"
    try:
        browser = Browser(folder / "profile")
        _wait_for(port)
        found = {}
        for name, url in {"first": page, "again": page, "sorted": f"{page}?orderByKey=metrics.`dice%2F1`"}.items():
            browser.call("Page.navigate", url="about:blank")
            begin = time.perf_counter()
            browser.call("Page.navigate", url=url)
            browser.wait(rows, seconds=120)
            found[f"page_{name}_s"] = time.perf_counter() - begin
        shot = browser.call("Page.captureScreenshot", format="png")["data"]
        Path("runs/scale_mlflow.png").write_bytes(base64.b64decode(shot))
        browser.close()
        return found
    finally:
        server.terminate()
        server.wait(30)


def _wait_for(port: int) -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.2)
    raise TimeoutError("the MLflow server did not start")


def _sweep_of_nothing(folder: Path, trials: int, *, sleep_s: float) -> float:
    """Wall seconds of a sweep whose trials sleep, on the Ray that is connected."""
    import ray

    sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "execution"))
    import execution_stand_in as stand_in

    from dgsweep.execution.sweep import run_sweep

    ray.cloudpickle.register_pickle_by_value(stand_in)
    (folder / "sweep").mkdir()
    plan: Plan = stand_in.make_plan(*(stand_in.make_spec(f"trial{number}") for number in range(trials)))
    run = stand_in.make_run(folder / "diary", seconds=sleep_s)
    begin = time.perf_counter()
    outcome = run_sweep(
        stand_in.make_config(folder / "sweep"), plan, stand_in.make_manifest(folder), console=stand_in.quiet(), run=run
    )
    assert outcome.done == trials
    return time.perf_counter() - begin


def _local_ray(*, cpus: int) -> Any:
    import ray

    return ray.init(
        address="local", num_cpus=cpus, include_dashboard=True, log_to_driver=False, logging_level="ERROR",
        object_store_memory=256 * 2**20,
    )  # fmt: skip


def forecast(known: dict[str, Any]) -> dict[str, Any]:
    """Share of the time in which so many GPUs train, one trial each, by what was measured here.

    A trial of T seconds holds its GPU for T + o, with o the time of a trial that does nothing; the driver handles one
    trial after the other and needs s for each, so at most (T + o) / s run at a time. Of N GPUs each trains for
    min(1, (T + o) / (N s)) T / (T + o) of the time.
    """
    o = known["train"]["wall_s_per_trial"] * known["train"]["at_once"]
    s = known["tune"]["wall_s_per_trial"] + known["mlflow"]["seconds_a_run"]
    table = {
        f"{gpus} GPUs": {
            f"{minutes} min": round(min(1.0, (60 * minutes + o) / (gpus * s)) * 60 * minutes / (60 * minutes + o), 3)
            for minutes in (1, 5, 20, 60)
        }
        for gpus in (8, 64, 256, 1024)
    }
    return {"start_s": o, "driver_s_per_trial": s, "trains": table}


PARTS: dict[str, Callable[[], Any]] = {"ledger": ledger, "tune": tune, "train": train, "weak": weak, "mlflow": mlflow}


def main(wanted: Sequence[str]) -> None:
    """Run the parts, print them, and add them to runs/scale.json."""
    place = Path("runs/scale.json")
    place.parent.mkdir(exist_ok=True)
    known = json.loads(place.read_text(encoding="utf-8")) if place.exists() else {}
    for name in wanted or PARTS:
        known[name] = PARTS[name]()
        print(json.dumps({name: known[name]}, indent=2), flush=True)
        place.write_text(json.dumps(known, indent=2), encoding="utf-8")
    if {"train", "tune", "mlflow"} <= known.keys():
        known["forecast"] = forecast(known)
        print(json.dumps({"forecast": known["forecast"]}, indent=2))
    place.write_text(json.dumps(known, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
