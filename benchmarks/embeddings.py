"""Ten prompt protocols with kept embeddings against the same ten without, in one run.

An image model and a video model of the small architecture of `make promptable`, and an image model with the published
encoder of MedSAM2 at its 512 pixels, all with random weights (no layer is faster or slower for what is in them), one
thread. Kept embeddings are written to a file and read from it between protocols, as trials do. Each round runs both,
one after the other; medians. The ratio says what share the encoder has: with memory, tracking is paid every time.

    python benchmarks/embeddings.py
"""

import json
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import torch

from dgsweep.config.prompt_protocol import parse_protocol
from dgsweep.method.promptable.embeddings import Embeddings
from dgsweep.method.promptable.family import Architecture, build_random
from dgsweep.method.promptable.predict import Promptable, predict_case
from dgsweep.method.promptable.prompts import Prompt, prompts_from_mask

SIZE_PX = 128
MODELS = {
    "small_images": ("sam2", Architecture.small("sam2", SIZE_PX), False, 24, 3),
    "small_video": ("medsam2", Architecture.small("medsam2", SIZE_PX), True, 24, 1),
    "published_images": ("medsam2", Architecture.published("medsam2"), False, 6, 1),
}
"""Name -> family, architecture, with memory, slices of the scan, rounds."""
JITTERS_PX = (2, 4, 6, 8, 10, 15, 20)
PROTOCOLS = ("per_slice_box", "global_3d_box", "center_point", *({"jittered_box": px} for px in JITTERS_PX))


def scan(depth: int) -> tuple[np.ndarray, np.ndarray]:
    """Noise with a brighter ellipsoid, and its mask, (X, Y, Z)."""
    axes = np.meshgrid(*(np.linspace(-1, 1, n) for n in (96, 80, depth)), indexing="ij")
    mask = sum((axis / radius) ** 2 for axis, radius in zip(axes, (0.5, 0.3, 0.6), strict=True)) < 1
    return np.random.default_rng(0).random(mask.shape, dtype=np.float32) * 100 + 300 * mask, mask


def ten_s(promptable: Promptable, volume: np.ndarray, prompts: list[tuple[Prompt, ...]], place: Path | None) -> float:
    """Seconds of ten protocols; with a place, embeddings are read from it and written to it as trials do."""
    begun = time.perf_counter()
    for given in prompts:
        kept = Embeddings.load(place, "bench") if place else None
        answer = predict_case(promptable, volume, given, embeddings=kept)
        if kept is not None and place is not None and answer.encoded_slices:
            kept.save(place)
    return time.perf_counter() - begun


def run() -> dict[str, dict[str, float]]:
    """Seconds of both and their ratio, for each model."""
    torch.set_num_threads(1)
    results = {}
    for name, (family, architecture, video, depth, rounds) in MODELS.items():
        volume, mask = scan(depth)
        prompts = [prompts_from_mask(mask, parse_protocol(one), seed=0, case_id="bench") for one in PROTOCOLS]
        promptable = Promptable(model=build_random(family, architecture, seed=0, video=video), family=family)
        with_s, without_s = [], []
        predict_case(promptable, volume, prompts[0])  # a warm-up
        for _ in range(rounds):
            without_s.append(ten_s(promptable, volume, prompts, None))
            with tempfile.TemporaryDirectory() as folder:
                with_s.append(ten_s(promptable, volume, prompts, Path(folder) / "kept.safetensors"))
        kept, anew = median(with_s), median(without_s)
        results[name] = {"ten_with_kept_s": kept, "ten_without_s": anew, "ratio": anew / kept}
    return results


if __name__ == "__main__":
    print(json.dumps(run(), indent=2))
