"""Patches per second of the preprocess cache and sampler against MONAI and TorchIO on the same volumes.

12 volumes of 128 x 160 x 96 voxels (float32) with a bent tube as label, patches of 96 x 96 x 96, batches of 4, one
process, one thread, no augmentation. The others hold everything in memory and are set up in the fastest way that their
documentation offers: MONAI CacheDataset with cached foreground indices (FgBgToIndicesd), RandCropByPosNegLabeld and
no metadata tracking; TorchIO Queue with LabelSampler, no background workers. Ours reads its memory-mapped files (page
cache warm) and hands out the label as int64. Each round runs all three, one after the other; reported are medians over
the rounds.

    python benchmarks/patches.py
"""

import json
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import nibabel as nib
import numpy as np
import torch
import torchio as tio
from monai.data import CacheDataset, DataLoader, set_track_meta
from monai.transforms import Compose, FgBgToIndicesd, RandCropByPosNegLabeld

from dgsweep.config.schema import DataConfig
from dgsweep.data.cache import CachedCase, PreprocessCache
from dgsweep.data.manifest import read_manifest
from dgsweep.data.sampling import PatchSampler
from dgsweep.plan.trial import Preprocessing

SHAPE = (128, 160, 96)
PATCH = (96, 96, 96)
VOLUMES, BATCH = 12, 4
ROUNDS, BATCHES = 7, 24


def tube() -> np.ndarray:
    """Return a bent tube, (x, y, z) uint8: about 1 % of the voxels, as a pancreas."""
    x, y, z = np.indices(SHAPE)
    return (np.hypot(y - 80 - 25 * np.sin(x / 20), z - 48) < 9).astype(np.uint8)


def cached_cases(folder: Path) -> list[CachedCase]:
    """Write the volumes as NIfTI, then read them as the platform does: manifest, cache, memory maps."""
    rng, rows = np.random.default_rng(0), ["case_id,patient_id,image,label,center,sequence"]
    nib.save(nib.Nifti1Image(tube(), np.eye(4)), folder / "label.nii")
    for number in range(VOLUMES):
        nib.save(nib.Nifti1Image(rng.normal(size=SHAPE).astype(np.float32), np.eye(4)), folder / f"{number}.nii")
        rows.append(f"c{number},p{number},{number}.nii,label.nii,C{number % 3},T1")
    path = folder / "manifest.csv"
    path.write_text("\n".join(rows))
    manifest = read_manifest(path, DataConfig(manifest=str(path)))
    grid = Preprocessing(spacing_mm=(1.0, 1.0, 1.0), patch=PATCH, labels=manifest.labels)
    cache = PreprocessCache(folder / "cache")
    return [cache.training_case(case, grid, case.info.domain(("center", "sequence"))) for case in manifest.cases]


def ours(cases: list[CachedCase]) -> Iterator[torch.Tensor]:
    """Endless batches of the platform, as tensors."""
    sampler = PatchSampler(cases, PATCH, BATCH, 0.5, 0)
    step = 0
    while True:
        batch = sampler.batch(step)
        torch.from_numpy(batch.label)
        yield torch.from_numpy(batch.image)
        step += 1


def monai_batches(cases: list[CachedCase]) -> Iterator[torch.Tensor]:
    """Endless batches of MONAI: one volume a batch, four patches of it."""
    set_track_meta(False)
    crop = RandCropByPosNegLabeld(keys=["image", "label"], label_key="label", spatial_size=PATCH, pos=1, neg=1,
                                  num_samples=BATCH, fg_indices_key="label_fg_indices",
                                  bg_indices_key="label_bg_indices")  # fmt: skip
    items = [
        {"image": torch.tensor(case.image[None]), "label": torch.tensor(np.array(case.label)[None])} for case in cases
    ]
    data = CacheDataset(items, Compose([FgBgToIndicesd(keys="label"), crop]), progress=False, num_workers=1)
    loader = DataLoader(data, batch_size=1, shuffle=True, num_workers=0)
    while True:
        for batch in loader:
            yield batch["image"]


def torchio_batches(cases: list[CachedCase]) -> Iterator[torch.Tensor]:
    """Endless batches of TorchIO: patches of a queue over subjects in memory."""
    subjects = [
        tio.Subject(
            image=tio.ScalarImage(tensor=torch.tensor(case.image[None])),
            label=tio.LabelMap(tensor=torch.tensor(np.array(case.label)[None])),
        )
        for case in cases
    ]
    queue = tio.Queue(tio.SubjectsDataset(subjects), max_length=4 * VOLUMES, samples_per_volume=4,
                      sampler=tio.LabelSampler(PATCH, "label"), num_workers=0)  # fmt: skip
    loader = tio.SubjectsLoader(queue, batch_size=BATCH, num_workers=0)
    while True:
        for batch in loader:
            yield batch["image"][tio.DATA]


def patches_per_s(batches: Iterator[torch.Tensor]) -> float:
    """Speed over the next batches; each is touched, so that nothing is left to be copied later."""
    begin, patches = time.perf_counter(), 0
    for _ in range(BATCHES):
        patches += len(next(batches))
    return patches / (time.perf_counter() - begin)


def run() -> dict[str, float]:
    """Medians of patches per second, and how many times as fast ours is."""
    torch.set_num_threads(1)
    tools: dict[str, Callable[[list[CachedCase]], Iterator[torch.Tensor]]] = {
        "ours": ours, "monai": monai_batches, "torchio": torchio_batches,
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        cases = cached_cases(Path(folder))
        streams = {name: tool(cases) for name, tool in tools.items()}
        for stream in streams.values():  # fills caches and queues
            for _ in range(VOLUMES):
                next(stream)
        rounds = [{name: patches_per_s(stream) for name, stream in streams.items()} for _ in range(ROUNDS)]
    speed = {name: median(row[name] for row in rounds) for name in tools}
    ratios = {f"speedup_vs_{name}": median(row["ours"] / row[name] for row in rounds) for name in ("monai", "torchio")}
    return {**{f"{name}_patches_per_s": value for name, value in speed.items()}, **ratios}


if __name__ == "__main__":
    print(json.dumps({key: round(value, 2) for key, value in run().items()}, indent=2))
