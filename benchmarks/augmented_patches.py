"""Augmented patches per second of one core: nnU-Net's list of augmentations on the same scans in four tools.

Patches of 64 x 64 x 64, batches of two, everything in memory or page cache, one process, one thread. nnU-Net runs its
own loader with batchgeneratorsv2. MONAI and TorchIO get the nearest transforms that they have, with the same
probabilities, applied to the patch, which is their fastest way; rotation and scaling are one resampling there.

    python benchmarks/augmented_patches.py
"""

import json
import math
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import monai.transforms as mt
import nnunet_peer
import numpy as np
import torch
import torchio as tio
from made_data import first_trial, scans
from monai.data import CacheDataset, DataLoader, set_track_meta
from rounds import alternate, ratio

from dgsweep.data.cache import CachedCase, PreprocessCache
from dgsweep.data.manifest import Manifest
from dgsweep.plan.trial import TrialSpec
from dgsweep.training.assemble import build_context
from dgsweep.training.feed import Feed
from dgsweep.training.runtime import Runtime

PATCH, BATCH, SPACING_MM = (64, 64, 64), 2, (2.0, 2.0, 2.0)
BATCHES, ROUNDS = 24, 5
"""Batches of a round: most transforms are rare, so few batches say nothing."""
RUNTIME = Runtime(device=torch.device("cpu"))
DEG = math.radians(30)
Batches = Iterator[Any]


def ours(spec: TrialSpec, cases: tuple[CachedCase, ...]) -> Batches:
    """The platform's feed and the views of `nnunet_da`."""
    ctx, feed = build_context(spec, RUNTIME), Feed(spec, cases, RUNTIME)
    step = 0
    while True:
        yield ctx.method.views(ctx, feed.batch(step))[0].image
        step += 1


def monai_batches(cases: tuple[CachedCase, ...]) -> Batches:
    """MONAI's cache with cached foreground indices, two patches of one scan a batch."""
    set_track_meta(False)
    both, image = ["image", "label"], "image"
    random = mt.Compose(
        [
            mt.RandCropByPosNegLabeld(both, "label", PATCH, pos=1, neg=2, num_samples=BATCH,
                                      fg_indices_key="label_fg_indices", bg_indices_key="label_bg_indices"),
            mt.RandAffined(both, prob=0.36, rotate_range=(DEG,) * 3, scale_range=(0.35,) * 3,
                           mode=("bilinear", "nearest"), padding_mode="border"),
            mt.RandGaussianNoised(image, prob=0.1, std=0.1),
            mt.RandGaussianSmoothd(image, (0.5, 1.0), (0.5, 1.0), (0.5, 1.0), prob=0.1),
            mt.RandScaleIntensityd(image, 0.25, prob=0.15),
            mt.RandScaleIntensityFixedMeand(image, factors=0.25, prob=0.15, preserve_range=True),
            mt.RandSimulateLowResolutiond(image, prob=0.125, zoom_range=(0.5, 1.0)),
            mt.RandAdjustContrastd(image, prob=0.1, gamma=(0.7, 1.5), invert_image=True, retain_stats=True),
            mt.RandAdjustContrastd(image, prob=0.3, gamma=(0.7, 1.5), retain_stats=True),
            *(mt.RandFlipd(both, prob=0.5, spatial_axis=axis) for axis in range(3)),
        ]
    )  # fmt: skip
    items = [
        {"image": torch.tensor(one.image[None]), "label": torch.tensor(np.array(one.label)[None])} for one in cases
    ]
    data = CacheDataset(items, mt.Compose([mt.FgBgToIndicesd(keys="label"), random]), progress=False, num_workers=1)
    loader = DataLoader(data, batch_size=1, shuffle=True, num_workers=0)
    while True:
        yield from (batch["image"] for batch in loader)


def torchio_batches(cases: tuple[CachedCase, ...]) -> Batches:
    """TorchIO's queue over scans in memory; its transforms on each patch instead of the whole scan."""
    change = tio.Compose(
        [
            tio.RandomAffine(scales=(0.7, 1.4), degrees=30, isotropic=True, p=0.36),
            tio.RandomNoise(std=(0, 0.1), p=0.1),
            tio.RandomBlur(std=(0.5, 1.0), p=0.1),
            tio.OneOf({tio.Lambda(lambda x: x * 1.1, types_to_apply=[tio.INTENSITY]): 1}, p=0.3),
            tio.RandomAnisotropy(downsampling=(1, 2), p=0.125),
            tio.RandomGamma(log_gamma=(-0.35, 0.4), p=0.4),
            tio.RandomFlip(axes=(0, 1, 2), flip_probability=0.5),
        ]
    )
    subjects = [
        tio.Subject(
            image=tio.ScalarImage(tensor=torch.tensor(one.image[None])),
            label=tio.LabelMap(tensor=torch.tensor(np.array(one.label)[None])),
        )
        for one in cases
    ]
    queue = tio.Queue(tio.SubjectsDataset(subjects), max_length=4 * len(cases), samples_per_volume=4,
                      sampler=tio.LabelSampler(PATCH, "label"), num_workers=0)  # fmt: skip
    while True:
        patches = [change(queue[0]) for _ in range(BATCH)]
        yield torch.stack([one["image"][tio.DATA] for one in patches])


def nnunet_batches(folder: Path, manifest: Manifest) -> Batches:
    """nnU-Net's loader as its trainer makes it, in this process."""
    raw = nnunet_peer.write_raw(folder, manifest.cases)
    peer = nnunet_peer.plan(raw, PATCH, BATCH, SPACING_MM, 8, 5)
    nnunet_peer.preprocess(peer, peer.names)
    return nnunet_peer.trainer(peer).dataloader_train


def drawn(batches: Batches) -> Callable[[], None]:
    """One round."""

    def work() -> None:
        for _ in range(BATCHES):
            next(batches)

    return work


def run() -> dict[str, float]:
    """Patches per second of ours, and how many times as long the others take; the aim is twice the best."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        manifest = scans(folder, patients_per_center=1)
        data = {"patch": PATCH, "spacing_mm": list(SPACING_MM)}
        spec = first_trial(manifest, data=data, training={"batch": BATCH}, methods=["nnunet_da"])
        cache = PreprocessCache(folder / "cache")
        cases = tuple(cache.training_case(one, spec.preprocessing, "all") for one in manifest.cases)
        tools = {"ours": ours(spec, cases), "MONAI": monai_batches(cases), "TorchIO": torchio_batches(cases)}
        if nnunet_peer.installed():
            tools["nnU-Net"] = nnunet_batches(folder, manifest)
        seen = alternate({tool: drawn(batches) for tool, batches in tools.items()}, ROUNDS)
    speed = BATCH * BATCHES / sorted(seen["ours"])[len(seen["ours"]) // 2]
    return {"ours, patches/s": speed, **{f"{peer} / ours": ratio(seen, peer, "ours") for peer in list(tools)[1:]}}


if __name__ == "__main__":
    print(json.dumps(run(), indent=2))
