"""What the small promptable model of ours learns from: short stacks of phantom T1W slices of training patients."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from dgsweep.config.schema import DataConfig, ProtocolConfig
from dgsweep.data.geometry import read_label, read_volume
from dgsweep.data.manifest import read_manifest
from dgsweep.method.promptable.slices import Preparation, as_image, model_input, to_model_px, to_uint8
from dgsweep.plan.split import assign_roles

SEQUENCE = "T1W"
PREPARATION = Preparation()
JITTER_PX = 10
"""Sides of a box are moved by up to this, but by no more than a quarter of the box: as prompts will be jittered."""
ZOOM = (0.8, 2.0)
TURN_RAD = 0.3
POINT_SHARE = 0.15
"""Stacks that are prompted with a point inside instead of a box."""
SKIP_SHARE = 0.3
"""Stacks of every second slice, so that objects change more from one to the next, and end more often."""
Bytes = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Scan:
    """A scan as the model's preprocessing sees it, and its structure, both (X, Y, Z) in closest RAS."""

    levels: Bytes
    mask: Mask


@dataclass(frozen=True)
class Stacks:
    """A batch of stacks of equal depth F; slices of the same place in all stacks come one after the other."""

    pixels: Tensor
    """(F * B, 3, S, S), the first B being the first slices of all stacks."""
    masks: Tensor
    """(F * B, S, S) in {0, 1}."""
    points: Tensor
    """(F * B, 2, 2): corners of a box around the structure, or a point inside twice; pixels of the model's image."""
    labels: Tensor
    """(F * B, 2), SAM's labels of the points: 2 and 3 for corners, 1 and -1 (padding) for a point."""
    depth: int

    @property
    def present(self) -> Tensor:
        """(F * B,), whether the structure is in the slice."""
        return self.masks.flatten(1).any(dim=1)


def training_scans(manifest: Path, protocol: ProtocolConfig) -> list[Scan]:
    """T1W scans of the patients who are for training in the sweeps of this protocol, and of nobody else."""
    read = read_manifest(manifest, DataConfig(manifest=str(manifest), target_labels=("pancreas",)))
    roles = assign_roles([case.info for case in read.cases], protocol.factors, protocol.folds)[0]
    scans = []
    for case in read.cases:
        if case.info.sequence == SEQUENCE and roles[case.info.patient_id] == "train" and case.label is not None:
            volume = read_volume(case.image)
            scans.append(Scan(to_uint8(volume.array, PREPARATION), read_label(case.label, volume.native) == 1))
    return [scan for scan in scans if scan.mask.any()]


def draw_stacks(scans: Sequence[Scan], rng: np.random.Generator, *, batch: int, depth: int, size_px: int) -> Stacks:
    """Random stacks that begin in a slice with the structure and go up or down from there."""
    made = [_stack(scans[rng.integers(len(scans))], rng, depth, size_px) for _ in range(batch)]
    pixels, masks, points, labels = (torch.stack(part, dim=1).flatten(0, 1) for part in zip(*made, strict=True))
    return Stacks(pixels, masks, points, labels, depth)


def _stack(scan: Scan, rng: np.random.Generator, depth: int, size_px: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    area = scan.mask.sum(axis=(0, 1))
    start = int(rng.choice(len(area), p=(weight := np.sqrt(area)) / weight.sum()))
    step = (2 if rng.random() < SKIP_SHARE else 1) * int(rng.choice((-1, 1)))
    chosen = np.clip(start + step * np.arange(depth), 0, len(area) - 1)
    images, masks = _moved(scan, chosen, rng)
    table = _contrast(rng)
    kind = "point" if rng.random() < POINT_SHARE else "box"
    noise = rng.uniform(0, 12) * (rng.random() < 0.5)
    pixels, prompts = [], []
    for image, mask in zip(images, masks, strict=True):
        seen = table[image] + noise * rng.standard_normal(image.shape)
        pixels.append(model_input("medsam2", np.clip(seen, 0, 255).astype(np.uint8), size_px))
        prompts.append(_prompt(mask, kind, rng, size_px))
    targets = functional.interpolate(torch.from_numpy(masks).float()[:, None], (size_px, size_px), mode="bilinear")[
        :, 0
    ]
    points, labels = (torch.stack(part) for part in zip(*prompts, strict=True))
    return torch.stack(pixels), (targets > 0.5).float(), points, labels


def _moved(scan: Scan, chosen: npt.NDArray[np.int_], rng: np.random.Generator) -> tuple[Bytes, Mask]:
    """Images and masks (F, H, W), mirrored, turned, scaled and shifted alike; the structure stays in the first one."""
    images = np.stack([as_image(scan.levels[:, :, z], PREPARATION) for z in chosen])
    masks = np.stack([as_image(scan.mask[:, :, z], PREPARATION) for z in chosen])
    rows, columns = images.shape[1:]
    centre = np.argwhere(masks[0]).mean(axis=0)[::-1] / (columns, rows) * 2 - 1
    zoom, turn = np.exp(rng.uniform(*np.log(ZOOM))), rng.uniform(-TURN_RAD, TURN_RAD)
    mirror = np.diag(rng.choice((-1.0, 1.0), size=2))
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ mirror / zoom
    landing = np.clip(centre + rng.uniform(-0.3, 0.3, size=2), -0.6, 0.6)
    theta = torch.from_numpy(np.column_stack([matrix, centre - matrix @ landing])).float()
    grid = functional.affine_grid(theta[None].expand(len(chosen), -1, -1), [len(chosen), 1, rows, columns], False)

    def moved(stack: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return functional.grid_sample(torch.from_numpy(stack)[:, None], grid, align_corners=False)[:, 0].numpy()

    return moved(images.astype(np.float32)).round().astype(np.uint8), moved(masks.astype(np.float32)) > 0.5


def _contrast(rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """What each of the 256 levels becomes: of five draws two keep their order, two invert it, one is any curve.

    Level 0 is the background, which preprocessing keeps at 0 whatever the sequence.
    """
    unit = np.linspace(0, 1, 256)
    kind = rng.choice(3, p=(0.4, 0.4, 0.2))
    if kind == 2:
        knots = rng.integers(4, 8)
        curve = np.interp(unit, np.linspace(0, 1, knots), rng.random(knots))
    else:
        curve = (unit if kind == 0 else 1 - unit) ** np.exp(rng.uniform(-0.7, 0.7))
    table = 255 * (rng.uniform(0, 0.15) + rng.uniform(0.7, 0.85) * curve)
    table[0] = 0
    return table


def _prompt(mask: Mask, kind: str, rng: np.random.Generator, size_px: int) -> tuple[Tensor, Tensor]:
    """Points (2, 2) and their labels (2,); zeros where the slice is empty, and nobody prompts."""
    inside = np.argwhere(mask)[:, ::-1]
    if not len(inside):
        return torch.zeros(2, 2), torch.full((2,), -1, dtype=torch.int32)
    if kind == "point":
        depth = inside[np.abs(inside - inside.mean(axis=0)).sum(axis=1).argmin()]
        corners, labels = np.stack([depth, depth]), (1, -1)
    else:
        low, high = inside.min(axis=0), inside.max(axis=0)
        most = np.minimum(JITTER_PX, (high - low) // 4 + 1)
        corners, labels = np.stack([low + rng.integers(-most, most + 1), high + rng.integers(-most, most + 1)]), (2, 3)
        corners = np.clip(corners, 0, (mask.shape[1] - 1, mask.shape[0] - 1))
    shape = (mask.shape[0], mask.shape[1])
    points = to_model_px("medsam2", corners.astype(np.float64), shape, size_px)
    return torch.from_numpy(points), torch.tensor(labels, dtype=torch.int32)
