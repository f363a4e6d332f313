"""`make bench`: every benchmark in one run, one table of what was aimed at and what was measured, all of it as JSON.

    python benchmarks/run_all.py [benchmark ...]

What is measured is kept in runs/bench.json; benchmarks that are not named keep what they had there. Ratios are medians
over alternating rounds, so they bear a machine that is busy for a moment, not one that is busy throughout.
"""

import importlib
import json
import os
import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

BENCHMARKS = (
    "metrics", "embeddings", "patches", "augmented_patches", "training_step", "inference", "preprocessing",
    "method_overhead", "growth", "start", "accelerator",
)  # fmt: skip
PEERS = ("torch", "monai", "torchio", "nnunetv2", "batchgeneratorsv2", "medpy", "surface-distance", "ray")
OUT = Path("runs/bench.json")
NNUNET = "nnunet"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One aim."""

    work: str
    against: str
    benchmark: str
    key: tuple[str, ...]
    """Where the figure stands in what the benchmark gives."""
    least: float | None = None
    most: float | None = None

    @property
    def aim(self) -> str:
        """In words."""
        return f">= {self.least:g}" if self.least is not None else f"<= {self.most:g}"

    def reached(self, value: float) -> bool:
        """Whether a figure is what was aimed at."""
        return value >= self.least if self.least is not None else value <= (self.most or 0.0)


def row(work: str, against: str, benchmark: str, *key: str, **limits: float) -> Row:
    """Short for a row."""
    return Row(work=work, against=against, benchmark=benchmark, key=key, **limits)


ROWS = (
    row("training step", "bare loop, small network", "training_step",
        "unet_tiny 48x40x24 batch 4: bare loop / ours", least=0.97),
    row("training step", "bare loop, nnU-Net's network", "training_step",
        "nnunet 32x32x32 batch 2: bare loop / ours", least=0.97),
    row("training", "nnU-Net's loop, same precision", "training_step",
        "nnU-Net's loop / ours, same precision", least=1.3),
    row("training", "nnU-Net's loop, ours in bfloat16", "training_step",
        "nnU-Net's loop / ours in bfloat16 (nnU-Net has none on a processor)", least=1.3),
    row("augmented patches, one core", "nnU-Net's loader", "augmented_patches", "nnU-Net / ours", least=2),
    row("augmented patches, one core", "MONAI", "augmented_patches", "MONAI / ours", least=2),
    row("augmented patches, one core", "TorchIO", "augmented_patches", "TorchIO / ours", least=2),
    row("plain patches, one core", "MONAI", "patches", "speedup_vs_monai", least=2),
    row("inference, small network", "nnU-Net", "inference", "unet_tiny: nnU-Net / ours", least=2),
    row("inference, small network", "MONAI", "inference", "unet_tiny: MONAI / ours", least=2),
    row("inference, nnU-Net's network", "nnU-Net", "inference", "nnunet: nnU-Net / ours", least=2),
    row("inference, nnU-Net's network", "nnU-Net, ours in bfloat16", "inference",
        "nnunet: nnU-Net / ours in bfloat16", least=2),
    row("inference, nnU-Net's network", "MONAI, ours in bfloat16", "inference",
        "nnunet: MONAI / ours in bfloat16", least=2),
    row("inference: Dice with the peer's mask", "MONAI", "inference", "nnunet: Dice with MONAI", least=0.999),
    row("inference: Dice with the peer's mask", "nnU-Net", "inference", "nnunet: Dice with nnU-Net", least=0.999),
    row("inference: Dice of bfloat16", "full precision", "inference",
        "nnunet: Dice of bfloat16 with full precision", least=0.999),
    row("metrics, with an outlier", "MONAI's three calls", "metrics",
        "far_outlier", "ratios", "monai_three_calls_over_ours", least=6),
    row("metrics, with an outlier", "MedPy's HD95", "metrics",
        "far_outlier", "ratios", "medpy_hd95_over_ours", least=40),
    row("metrics, with an outlier", "surface-distance", "metrics",
        "far_outlier", "ratios", "surface_distance_over_ours", least=1.5),
    row("preprocessing, one core", "nnU-Net, fingerprint included", "preprocessing", "nnU-Net / ours", least=1.5),
    row("preprocessing: peak memory", "one case", "preprocessing", "ours: peak memory / case", most=1.5),
    row("ten prompts zero-shot, published encoder", "ten separate runs", "embeddings",
        "published_images", "ratio", least=5),
    row("methods whose step is above 1.1 of its passes", "passes counted", "method_overhead",
        "number above 1.1", most=0),
    row("start of the next trial, s", "", "start", "end of a trial to beginning of the next, s", most=1),
    row("dgsweep --help, s", "", "start", "dgsweep --help, s", most=0.5),
    row("dgsweep plan imports torch", "", "start", "dgsweep plan imports torch", most=0),
    row("GPU epoch of 250 steps, s", "A100 32 s (published)", "accelerator", "epoch of 250 steps, s", most=12),
    row("augmented patches/s on the GPU", "", "accelerator", "augmented patches/s", least=63),
)  # fmt: skip


def machine() -> dict[str, Any]:
    """What it ran on."""
    found = {}
    for package in PEERS:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    info = Path("/proc/cpuinfo")
    names = [line.split(":")[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    return {
        "processor": (names or [platform.processor() or platform.machine()])[0], "cores": os.cpu_count(), "gpu": gpu,
        "load_before": os.getloadavg()[0], "python": platform.python_version(), **found,
    }  # fmt: skip


def found_in(results: dict[str, Any], one: Row) -> float | None:
    """The figure of a row, None where it was not measured."""
    value = reduce(lambda part, key: part.get(key) if isinstance(part, dict) else None, one.key, results[one.benchmark])
    return None if value is None else float(value)


def table(results: dict[str, Any]) -> Table:
    """Aims beside figures."""
    shown = Table("work", "against", "aim", "measured", "reached")
    for one in ROWS:
        if one.benchmark not in results:
            continue
        value = found_in(results, one)
        reached = "not run" if value is None else "yes" if one.reached(value) else "no"
        shown.add_row(one.work, one.against, one.aim, "" if value is None else f"{value:.3g}", reached)
    return shown


def main(wanted: Sequence[str]) -> None:
    """Run, print, write."""
    sys.path.insert(0, str(Path(__file__).parent))
    results: dict[str, Any] = json.loads(OUT.read_text()) if OUT.exists() else {}
    results["machine"] = machine()
    OUT.parent.mkdir(exist_ok=True)
    for name in wanted or BENCHMARKS:
        begin = time.perf_counter()
        results[name] = importlib.import_module(name).run()
        print(f"{name}: {time.perf_counter() - begin:.0f} s", file=sys.stderr, flush=True)
        OUT.write_text(json.dumps(results, indent=2, default=str))
    Console(width=120).print(table(results))
    print(f"machine: {results['machine']}\nwritten: {OUT}")


if __name__ == "__main__":
    main(sys.argv[1:])
