"""Steps per second of our loop (sampling and augmentation included) against a bare PyTorch loop.

The bare loop trains the same network with the same loss, optimizer and clipping on batches that lie ready in memory.
"""

import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from torch import nn

from dgsweep.config.schema import DataConfig, SweepConfig
from dgsweep.data.cache import PreprocessCache
from dgsweep.data.manifest import read_manifest
from dgsweep.data.phantom import PhantomSpec, write_phantom
from dgsweep.method.catalog import method_declarations, network_declarations
from dgsweep.method.losses import supervised_loss
from dgsweep.plan.build import build_plan
from dgsweep.plan.trial import TrialSpec
from dgsweep.training.assemble import build_context
from dgsweep.training.feed import Feed
from dgsweep.training.runtime import Runtime

STEPS = 15
ROUNDS = 7
CASES = (("unet_tiny", (48, 40, 24), 4), ("nnunet", (32, 32, 24), 2))


def spec_of(manifest: Path, network: str, patch: tuple[int, int, int], batch: int) -> TrialSpec:
    """The one trial of a small sweep."""
    config = SweepConfig.model_validate(
        {
            "data": {"manifest": str(manifest), "patch": patch, "spacing_mm": [4, 4, 4]},
            "methods": ["erm"],
            "networks": [{"name": network, "options": {"width": 16} if network == "nnunet" else {}}],
            "budget": {"steps": 10_000},
            "training": {"batch": batch},
            "selection": ["last"],
        }
    )
    data = read_manifest(manifest, config.data)
    infos = [case.info for case in data.cases]
    return build_plan(config, infos, data.labels, method_declarations(), network_declarations(), {}).trials[0]


def measure(folder: Path, network: str, patch: tuple[int, int, int], batch: int) -> dict[str, float]:
    """Medians over alternating rounds."""
    manifest = write_phantom(folder / "phantom", PhantomSpec(patients_per_center=3))
    spec = spec_of(manifest, network, patch, batch)
    cases = {case.info.case_id: case for case in read_manifest(manifest, DataConfig(manifest=str(manifest))).cases}
    cache = PreprocessCache(folder / "cache")
    runtime = Runtime(device=torch.device("cpu"))
    train = tuple(cache.training_case(cases[n], spec.preprocessing, spec.domains[n]) for n in spec.split.train)
    ours, bare = build_context(spec, runtime), build_context(spec, runtime)
    feed = Feed(spec, train, runtime)
    ready = [feed.batch(step) for step in range(STEPS)]

    def our_steps() -> None:
        for _ in range(STEPS):
            ours.run_step(feed.batch(ours.step))

    def bare_steps() -> None:
        for one in ready:
            bare.optimizer.zero_grad(set_to_none=True)
            supervised_loss(bare.network(one.image), one.label).backward()
            nn.utils.clip_grad_norm_(bare.network.parameters(), 12.0)
            bare.optimizer.step()

    our_steps(), bare_steps()
    rounds = [(timed(our_steps), timed(bare_steps)) for _ in range(ROUNDS)]
    return {
        "ours_steps_per_s": STEPS / median(row[0] for row in rounds),
        "bare_steps_per_s": STEPS / median(row[1] for row in rounds),
        "ours_over_bare": median(row[1] / row[0] for row in rounds),
    }


def timed(work: Callable[[], None]) -> float:
    """Seconds."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def run() -> dict[str, object]:
    """Speed of both loops and their ratio (aim: at least 0.97) for a small and a full-width network."""
    torch.set_num_threads(1)
    results: dict[str, object] = {}
    for network, patch, batch in CASES:
        with tempfile.TemporaryDirectory() as folder:
            results[f"{network} {'x'.join(map(str, patch))} batch {batch}"] = measure(
                Path(folder), network, patch, batch
            )
    return results


if __name__ == "__main__":
    print(json.dumps(run(), indent=2))
