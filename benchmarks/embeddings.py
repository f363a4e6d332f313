"""Ten prompt protocols with kept embeddings against the same ten without, in one run.

The `sam2` and `medsam2` families on a phantom-sized volume with the small architecture of `make promptable`, random
weights (neither encoder nor decoder is faster or slower for what is in its weights), one thread. Kept embeddings are
written to and read from a file between protocols, as a sweep does. Each round runs both, one after the other; medians.
A published encoder is larger against its decoder than this one, so the ratio here is a lower end.

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

SHAPE, SIZE_PX, ROUNDS = (96, 80, 24), 128, 3
JITTERS_PX = (2, 4, 6, 8, 10, 15, 20)
PROTOCOLS = ("per_slice_box", "global_3d_box", "center_point", *({"jittered_box": px} for px in JITTERS_PX))


def scan() -> tuple[np.ndarray, np.ndarray]:
    """Noise with a brighter ellipsoid, and its mask, (X, Y, Z)."""
    axes = np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij")
    mask = sum((axis / radius) ** 2 for axis, radius in zip(axes, (0.5, 0.3, 0.6), strict=True)) < 1
    return np.random.default_rng(0).random(SHAPE, dtype=np.float32) * 100 + 300 * mask, mask


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
    """Seconds of both and their ratio, for each family."""
    torch.set_num_threads(1)
    volume, mask = scan()
    prompts = [prompts_from_mask(mask, parse_protocol(name), seed=0, case_id="bench") for name in PROTOCOLS]
    results = {}
    for family, video in (("sam2", False), ("medsam2", True)):
        asked = [given for given in prompts if given[0].kind == "box"] if video else prompts
        asked += asked[: len(prompts) - len(asked)]  # ten also where points are not taken
        model = build_random(family, Architecture.small(family, SIZE_PX), seed=0, video=video)
        promptable = Promptable(model=model, family=family)
        with_s, without_s = [], []
        predict_case(promptable, volume, asked[0])  # a warm-up
        for _ in range(ROUNDS if not video else 1):
            without_s.append(ten_s(promptable, volume, asked, None))
            with tempfile.TemporaryDirectory() as folder:
                with_s.append(ten_s(promptable, volume, asked, Path(folder) / "kept.safetensors"))
        kept, anew = median(with_s), median(without_s)
        results[family] = {"ten_with_kept_s": kept, "ten_without_s": anew, "ratio": anew / kept}
    return results


if __name__ == "__main__":
    print(json.dumps(run(), indent=2))
