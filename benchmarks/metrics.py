"""Speed of `dgsweep.metrics.score_case` against MONAI, MedPy and surface-distance on one pancreas-like case.

320 x 320 x 80 voxels of 1.2 x 1.2 x 3 mm, a bent tube and a distorted copy of it, with and without 32 voxels far away
in the prediction. Each round runs every tool once, one after the other, so that a slow moment of the machine hits all;
reported are medians over the rounds. Ours computes all scores of the platform in its one call.

    python benchmarks/metrics.py
"""

import json
import time
import warnings
from collections.abc import Callable
from statistics import median

import numpy as np
import surface_distance
import torch
from medpy.metric import binary as medpy_binary
from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance, compute_surface_dice
from numpy.typing import NDArray

from dgsweep.metrics import score_case

SHAPE = (320, 320, 80)
SPACING_MM = (1.2, 1.2, 3.0)
TAU_MM = 2.0
ROUNDS = 9
SLOW_ROUNDS = 3
"""MedPy takes seconds a call; three rounds show its median well enough."""

Mask = NDArray[np.bool_]


def pancreas_like(*, jitter_mm: float, seed: int) -> Mask:
    """Return a bent tube of about 20,000 voxels, (x, y, z); `jitter_mm` moves its axis and changes its radius."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*(np.arange(n) * s for n, s in zip(SHAPE, SPACING_MM, strict=True)), indexing="ij"), -1)
    mask = np.zeros(SHAPE, dtype=np.bool_)
    wobble = rng.normal(0.0, jitter_mm, size=(3, 4))
    for t in np.linspace(0.0, 1.0, 60):
        waves = np.array([np.sin(np.pi * t), np.cos(np.pi * t), np.sin(2 * np.pi * t), np.cos(2 * np.pi * t)])
        axis = np.array([120 + 140 * t, 200 - 45 * np.sin(np.pi * t), 100 + 45 * t]) + wobble @ waves
        radius = 15.0 - 5.0 * t + 0.3 * wobble[0] @ waves
        low = [max(int((a - 16) / s), 0) for a, s in zip(axis, SPACING_MM, strict=True)]
        part = tuple(slice(at, at + int(32 / s) + 2) for at, s in zip(low, SPACING_MM, strict=True))
        mask[part] |= ((grid[part] - axis) ** 2).sum(-1) <= radius**2
    return mask


def pair(*, outlier: bool) -> tuple[Mask, Mask]:
    """Return a prediction and a reference; the outlier is a block of 32 voxels in the far corner."""
    pred, ref = pancreas_like(jitter_mm=2.5, seed=1), pancreas_like(jitter_mm=0.0, seed=0)
    if outlier:
        pred[4:8, 4:8, 2:4] = True
    return pred, ref


def contenders(pred: Mask, ref: Mask) -> dict[str, tuple[int, Callable[[], object]]]:
    """Return for each tool how many rounds it runs and its call; conversions to tensors are not timed."""
    first, second = torch.from_numpy(pred)[None, None], torch.from_numpy(ref)[None, None]
    options = {"include_background": True, "spacing": SPACING_MM}
    spacing = {"voxelspacing": SPACING_MM}
    return {
        "dgsweep": (ROUNDS, lambda: score_case(pred, ref, SPACING_MM, TAU_MM)),
        "dgsweep_with_surfel_nsd": (ROUNDS, lambda: score_case(pred, ref, SPACING_MM, TAU_MM, surfel_nsd=True)),
        "monai_hd95": (ROUNDS, lambda: compute_hausdorff_distance(first, second, percentile=95, **options)),
        "monai_assd": (ROUNDS, lambda: compute_average_surface_distance(first, second, symmetric=True, **options)),
        "monai_nsd": (ROUNDS, lambda: compute_surface_dice(first, second, class_thresholds=[TAU_MM], **options)),
        "surface_distance": (ROUNDS, lambda: _deepmind(pred, ref)),
        "medpy_hd95": (SLOW_ROUNDS, lambda: medpy_binary.hd95(pred, ref, **spacing)),
        "medpy_assd": (SLOW_ROUNDS, lambda: medpy_binary.assd(pred, ref, **spacing)),
    }


def _deepmind(pred: Mask, ref: Mask) -> tuple[float, object, float]:
    distances = surface_distance.compute_surface_distances(ref, pred, SPACING_MM)
    return (
        surface_distance.compute_robust_hausdorff(distances, 95),
        surface_distance.compute_average_surface_distance(distances),
        surface_distance.compute_surface_dice_at_tolerance(distances, TAU_MM),
    )


def medians_ms(pred: Mask, ref: Mask) -> dict[str, float]:
    """Return the median wall time of each tool in milliseconds, after one call of each that is not counted."""
    tools = contenders(pred, ref)
    times: dict[str, list[float]] = {name: [] for name in tools}
    for round_index in range(-1, ROUNDS):
        for name, (rounds, call) in tools.items():
            if round_index < rounds:
                start = time.perf_counter()
                call()
                times[name].append((time.perf_counter() - start) * 1e3)
    return {name: median(measured[1:]) for name, measured in times.items()}


def _ratios(ms: dict[str, float]) -> dict[str, float]:
    monai_ms = ms["monai_hd95"] + ms["monai_assd"] + ms["monai_nsd"]
    return {
        "monai_three_calls_over_ours": monai_ms / ms["dgsweep"],
        "medpy_hd95_over_ours": ms["medpy_hd95"] / ms["dgsweep"],
        "medpy_hd95_and_assd_over_ours": (ms["medpy_hd95"] + ms["medpy_assd"]) / ms["dgsweep"],
        "surface_distance_over_ours": ms["surface_distance"] / ms["dgsweep"],
        "surface_distance_over_ours_with_surfel_nsd": ms["surface_distance"] / ms["dgsweep_with_surfel_nsd"],
    }


def run() -> dict[str, object]:
    """Return the case, the medians in milliseconds and the ratios, without and with the outlier."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    result: dict[str, object] = {"shape": SHAPE, "spacing_mm": SPACING_MM, "rounds": ROUNDS}
    for name, outlier in (("compact", False), ("far_outlier", True)):
        pred, ref = pair(outlier=outlier)
        ms = medians_ms(pred, ref)
        scores = score_case(pred, ref, SPACING_MM, TAU_MM)
        result[name] = {"voxels": int(ref.sum()), "dice": scores["dice"], "median_ms": ms, "ratios": _ratios(ms)}
    return result


def main() -> None:
    """Print a table and the same as JSON."""
    result = run()
    for name in ("compact", "far_outlier"):
        block = result[name]
        assert isinstance(block, dict)
        print(f"{name}: reference of {block['voxels']} voxels, Dice {block['dice']:.3f}")
        for tool, ms in block["median_ms"].items():
            print(f"  {tool:<45}{ms:>10.1f} ms")
        for ratio, value in block["ratios"].items():
            print(f"  {ratio:<45}{value:>10.1f} x")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
