"""How cost grows: steps a second against patch, batch and sources, the cache against cases, memory of each.

One thread, `nnunet` with 16 channels, full precision; each setting in a process of its own, so that its peak memory is
its own (with the libraries, which a setting of nothing shows).

    python benchmarks/growth.py
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from made_data import first_trial, scans
from rounds import timed
from training_step import Ours

from dgsweep.data.cache import PreprocessCache

STEPS, SPACING_MM = 4, [2.5, 2.5, 2.5]
BASE = {"side": 32, "batch": 2, "sources": 3, "cases": 6}
SETTINGS: dict[str, list[dict[str, int]]] = {
    "patch side": [{"side": side} for side in (16, 32, 48, 64)],
    "batch": [{"batch": batch} for batch in (1, 2, 4, 8)],
    "sources": [{"sources": sources, "batch": 6} for sources in (1, 3, 5)],
    "cases": [{"cases": cases} for cases in (1, 3, 9, 18)],
}
PROTOCOLS = {1: "single_source", 3: "cross_sequence", 5: "leave_one_domain_out"}
"""Sources -> a protocol whose first trial has so many, of three centers and two sequences."""


def measure(folder: Path, side: int, batch: int, sources: int, cases: int) -> dict[str, float]:
    """Steps a second, peak memory and size of the cache for one setting."""
    torch.set_num_threads(1)
    manifest = scans(folder / "scans", patients_per_center=3)
    spec = first_trial(
        manifest, data={"patch": [side] * 3, "spacing_mm": SPACING_MM}, training={"batch": batch, "amp": "off"},
        protocol={"kind": PROTOCOLS[sources]}, networks=[{"name": "nnunet", "options": {"width": 16}}],
    )  # fmt: skip
    cache = PreprocessCache(folder / "cache")
    seconds = timed(lambda: [cache.training_case(one, spec.preprocessing, "all") for one in manifest.cases[:cases]])
    size = sum(file.stat().st_size for file in (folder / "cache").rglob("*") if file.is_file())
    ours = Ours(spec, manifest, folder)
    ours.steps(2)
    steps_s = STEPS / timed(lambda: ours.steps(STEPS))
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return {
        "steps/s": steps_s, "peak memory, MiB": int(peak.split()[1]) / 1024, "cache, MiB": size / 2**20,
        "cache, s": seconds, "sources": float(len(spec.sources)),
    }  # fmt: skip


def run() -> dict[str, Any]:
    """A table for each thing that grows."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        scans(Path(name) / "scans", patients_per_center=3)
        for what, settings in SETTINGS.items():
            for change in settings:
                task = json.dumps({"folder": name, **BASE, **change})
                ran = subprocess.run(
                    [sys.executable, "-W", "ignore", __file__, task], check=True, capture_output=True, text=True
                )
                found.setdefault(what, {})[next(iter(change.values()))] = json.loads(ran.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    if len(sys.argv) > 1:
        task = json.loads(sys.argv[1])
        with tempfile.TemporaryDirectory(dir=task["folder"]) as own:
            (Path(own) / "scans").symlink_to(Path(task.pop("folder")) / "scans")
            print(json.dumps(measure(Path(own), **task)))
    else:
        print(json.dumps(run(), indent=2))
