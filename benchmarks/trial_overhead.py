"""Seconds that a trial costs beside its training: inline, and through Ray Tune and Ray Train, in one run."""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from dgsweep.data.phantom import PhantomSpec, write_phantom

TRIALS = 4


def sweep_file(folder: Path, manifest: Path, name: str) -> Path:
    """Four trials of two steps."""
    path = folder / f"{name}.yaml"
    path.write_text(
        f"name: {name}\n"
        f"data: {{manifest: {manifest}, spacing_mm: [4, 4, 4], patch: [16, 16, 8]}}\n"
        "protocol: {kind: cross_sequence}\n"
        "methods: [erm]\nnetworks: [{name: unet_tiny, options: {width: 4}}]\n"
        f"seeds: {list(range(TRIALS))}\nbudget: {{steps: 2}}\n"
        f"output: {folder / name}\ntracking: {{uri: 'sqlite:///{folder / name}.db'}}\n"
    )
    return path


def wall_s(folder: Path, manifest: Path, executor: str) -> float:
    """Seconds per trial of one sweep, the start of the executor included."""
    path = sweep_file(folder, manifest, executor)
    begin = time.perf_counter()
    command = [sys.executable, "-m", "dgsweep.cli", "run", str(path), "--executor", executor, "--no-report"]
    subprocess.run(command, check=True, capture_output=True)
    return (time.perf_counter() - begin) / (3 * TRIALS)


def run() -> dict[str, float]:
    """Seconds per trial of both executors and their difference."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        manifest = write_phantom(folder / "phantom", PhantomSpec(patients_per_center=2, centers=2, shape=(24, 24, 16)))
        inline, ray = wall_s(folder, manifest, "inline"), wall_s(folder, manifest, "ray")
    return {"trials": 3 * TRIALS, "inline_s_per_trial": inline, "ray_s_per_trial": ray, "ray_overhead_s": ray - inline}


if __name__ == "__main__":
    print(json.dumps(run(), indent=2))
