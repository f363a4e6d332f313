"""Seconds and memory of preprocessing a case: ours (content hash, foreground index, checks) against nnU-Net's.

Both read the same compressed NIfTI files, normalise, resample to 1.5 mm by cubic spline and write what training reads.
nnU-Net reads every case once more for its fingerprint; ours hashes its files. One process, one thread, libraries
imported before. Memory is that of a process of its own that prepares one case, above what it held before, as a multiple
of the case's size in float32 on the larger of its two grids.

    python benchmarks/preprocessing.py
"""

import contextlib
import io
import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from itertools import count
from pathlib import Path

import nnunet_peer
import SimpleITK
import torch
from made_data import first_trial, scans
from rounds import alternate, ratio

from dgsweep.config.schema import DataConfig
from dgsweep.data.cache import PreprocessCache
from dgsweep.data.geometry import resampled_shape
from dgsweep.data.manifest import Case, Manifest, read_manifest
from dgsweep.plan.trial import Preprocessing

PATCH, SPACING_MM, SHAPE = (64, 64, 64), (1.5, 1.5, 1.5), (128, 112, 64)
CASES, ROUNDS = 3, 3


def grid_of(manifest: Manifest) -> Preprocessing:
    """The working grid of a trial on these scans."""
    return first_trial(manifest, data={"patch": PATCH, "spacing_mm": list(SPACING_MM)}).preprocessing


def prepare(cases: Sequence[Case], grid: Preprocessing, folder: Path) -> None:
    """Fill a new cache, as the first trial of a sweep does."""
    cache = PreprocessCache(folder)
    for case in cases:
        cache.training_case(case, grid, "all")


def peak_of_one(manifest: Manifest, grid: Preprocessing, folder: Path, tool: str) -> float:
    """Peak memory of one case in a process of its own, as a multiple of the case."""
    task = {"manifest": str(manifest.path), "folder": str(folder), "tool": tool}
    command = [sys.executable, "-W", "ignore", __file__, json.dumps(task)]
    grown = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])
    info = manifest.cases[0].info
    shapes = (info.shape, resampled_shape(info.shape, info.spacing_mm, grid.spacing_mm))
    return grown / max(4 * math.prod(shape) for shape in shapes)


def grow(task: dict[str, object]) -> int:
    """Bytes by which this process grows at most while it prepares the first case."""
    path, folder = str(task["manifest"]), Path(str(task["folder"]))
    manifest = read_manifest(Path(path), DataConfig(manifest=path, target_labels=["pancreas"]))
    grid = grid_of(manifest)
    if task["tool"] == "ours":
        before = _start_anew()
        prepare(manifest.cases[:1], grid, folder / "memory")
    else:
        raw = nnunet_peer.write_raw(folder / "memory", manifest.cases[:1])
        peer = nnunet_peer.plan(raw, PATCH, 2, SPACING_MM, 8, 5)
        before = _start_anew()
        nnunet_peer.preprocess(peer, peer.names)
    return _memory("VmHWM") - before


def _start_anew() -> int:
    """Bytes that this process holds now; its peak counts from here (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")
    return _memory("VmRSS")


def _memory(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(name))


def run() -> dict[str, float]:
    """Seconds a case, ratio and memory; aims: 1.5 times as fast, memory below 1.5 times one case."""
    torch.set_num_threads(1)
    SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        manifest = scans(folder, shape=SHAPE, patients_per_center=1)
        chosen, grid, turn = manifest.cases[:CASES], grid_of(manifest), count()
        tools = {"ours": lambda: prepare(chosen, grid, folder / f"cache{next(turn)}")}
        if nnunet_peer.installed():
            peer = nnunet_peer.plan(nnunet_peer.write_raw(folder, chosen), PATCH, 2, SPACING_MM, 8, 5)

            def theirs() -> None:
                with contextlib.redirect_stdout(io.StringIO()):
                    nnunet_peer.fingerprint(peer, peer.names)
                    nnunet_peer.preprocess(peer, peer.names)

            tools |= {"nnU-Net": theirs, "nnU-Net's second pass": lambda: nnunet_peer.preprocess(peer, peer.names)}
        seen = alternate(tools, ROUNDS)
        found = {"ours, s a case": sorted(seen["ours"])[ROUNDS // 2] / CASES}
        found |= {f"{peer_name} / ours": ratio(seen, peer_name, "ours") for peer_name in list(tools)[1:]}
        for tool in list(tools)[:2]:
            found[f"{tool}: peak memory / case"] = peak_of_one(manifest, grid, folder / tool, tool)
        return found


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(grow(json.loads(sys.argv[1])))
    else:
        print(json.dumps(run(), indent=2))
