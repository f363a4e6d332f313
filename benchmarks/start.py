"""Seconds until something happens: the command's help, a plan, and the next trial on a warm cluster.

The trials do two steps and have one place (`cpus_per_trial` is the machine), so that each follows another: counted is
from a trial's DONE to the beginning of the next in the ledger, through Ray Tune, Ray Train and our own driver. Against
it stands what a new process pays before it can do anything: the interpreter and the imports of a worker.

    python benchmarks/start.py
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from statistics import median

from dgsweep.data.phantom import PhantomSpec, write_phantom

SEEDS, ROUNDS = 4, 5
WORKER = "import dgsweep.execution.worker, ray.train.torch"


def wall_s(*command: str) -> float:
    """Median over rounds of a Python command, the first one not counted."""
    seen = []
    for _ in range(ROUNDS + 1):
        begin = time.perf_counter()
        subprocess.run([sys.executable, *command], check=True, capture_output=True)
        seen.append(time.perf_counter() - begin)
    return median(seen[1:])


def imports(module: str, *command: str) -> bool:
    """Whether a command of ours imports a module."""
    ran = subprocess.run([sys.executable, "-X", "importtime", *command], check=True, capture_output=True, text=True)
    return any(line.rsplit("|", 1)[-1].strip() == module for line in ran.stderr.splitlines())


def sweep_file(folder: Path, manifest: Path) -> Path:
    """Trials of two steps."""
    path = folder / "sweep.yaml"
    path.write_text(
        "name: start\n"
        f"data: {{manifest: {manifest}, spacing_mm: [4, 4, 4], patch: [16, 16, 8]}}\n"
        "protocol: {kind: cross_sequence}\n"
        "methods: [erm]\nnetworks: [{name: unet_tiny, options: {width: 4}}]\n"
        f"seeds: {list(range(SEEDS))}\nbudget: {{steps: 2}}\n"
        f"resources: {{cpus_per_trial: {os.cpu_count()}}}\n"
        f"output: {folder / 'out'}\ntracking: {{uri: 'sqlite:///{folder / 'mlflow.db'}'}}\n"
    )
    return path


def gaps_s(output: Path) -> tuple[list[float], list[float]]:
    """From the end of each trial to the beginning of the next, and from beginning to end of each."""
    times = sorted(
        (trial.joinpath("spec.json").stat().st_mtime, trial.joinpath("DONE").stat().st_mtime)
        for trial in (output / "trials").iterdir()
    )
    gaps = [begin - end for (_, end), (begin, _) in pairwise(times)]
    return gaps, [end - begin for begin, end in times]


def run() -> dict[str, float | bool]:
    """Aims: help below 0.5 s, no torch in a plan, the next trial below 1 s."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = PhantomSpec(patients_per_center=2, centers=2, shape=(24, 24, 16))
        path = sweep_file(folder, write_phantom(folder / "phantom", made))
        cli = ("-m", "dgsweep.cli")
        found: dict[str, float | bool] = {
            "dgsweep --help, s": wall_s(*cli, "--help"),
            "dgsweep plan, s": wall_s(*cli, "plan", str(path)),
            "dgsweep plan imports torch": imports("torch", *cli, "plan", str(path)),
            "a process with a worker's imports, s": wall_s("-c", WORKER),
        }
        begin = time.perf_counter()
        subprocess.run([sys.executable, *cli, "run", str(path), "--no-report"], check=True, capture_output=True)
        found["the sweep with its own cluster, s a trial"] = (time.perf_counter() - begin) / (3 * SEEDS)
        gaps, own = gaps_s(folder / "out")
        next_s, process_s = median(gaps), found["a process with a worker's imports, s"]
        found |= {"end of a trial to beginning of the next, s": next_s, "the trial itself, s": median(own)}
        found["process start and imports / start of the next trial"] = process_s / next_s
    return found


if __name__ == "__main__":
    print(json.dumps(run(), indent=2))
