"""What the small promptable model of ours learns from: short stacks of phantom T1W slices of training patients."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from promptable_objects import Bytes, Mask, Regions, candidates, draw_blob, regions
from scipy.ndimage import gaussian_filter
from torch import Tensor
from torch.nn import functional

from dgsweep.config.schema import DataConfig, ProtocolConfig
from dgsweep.data.geometry import read_label, read_volume
from dgsweep.data.manifest import read_manifest
from dgsweep.method.promptable.slices import Preparation, as_image, model_input, to_model_px, to_uint8
from dgsweep.plan.split import assign_roles

SEQUENCE = "T1W"
PREPARATION = Preparation()
STRUCTURE_SHARE, BLOB_SHARE = 0.25, 0.5
"""Of the objects: those that are the pancreas, where the slice shows it. Of the stacks: those with pasted shapes."""
AREA_PX, WIDEST = (24, 3000), 0.75
"""Of an object in the first slice: its area, and the share of the image that it may span."""
JITTER_PX = 10
"""Sides of a box are moved by up to this, but by no more than a quarter of the box: as prompts will be jittered."""
TIGHT_SHARE, WIDE_SHARE = 0.5, 0.15
"""Boxes that are moved by a pixel at most, and boxes too wide on every side, as one box for all slices is."""
ZOOM = (0.85, 2.2)
NATIVE_SHARE = 0.4
"""Stacks that keep their size, as they will be seen."""
TURN_RAD = 0.3
BLUR_PX = 0.7
DARK_AIR_SHARE, AIR_LEVEL = 0.7, 30
"""Of the contrasts: those in which what is nearly black, air above all, stays so."""
STEPS, STEP_SHARES = (1, 2, 4), (0.4, 0.3, 0.3)
"""From slice to slice of a stack: larger ones so that objects change more from one to the next, and end more often."""
Kind = Literal["box", "point"]


@dataclass(frozen=True)
class Scan:
    """A scan as the model's preprocessing sees it, and what is in it; (X, Y, Z) in closest RAS."""

    levels: Bytes
    mask: Mask
    """Of the labelled structure."""
    regions: Regions
    """(P, X, Y, Z), of `promptable_objects.regions`."""


@dataclass(frozen=True)
class Stacks:
    """A batch of B stacks of F slices, with N objects in all; slices of the same place come one after the other."""

    pixels: Tensor
    """(F * B, 3, S, S), the first B being the first slices of all stacks."""
    masks: Tensor
    """(F * N, S, S) in {0, 1}, the first N being those of the first slices."""
    points: Tensor
    """(F * N, 2 or 1, 2): corners of a box around the object, or a point inside; pixels of the model's image."""
    labels: Tensor
    """(F * N, 2 or 1), SAM's labels of the points: 2 and 3 for corners, 1 for a point, -1 where nobody prompts."""
    image: Tensor
    """(N,), the stack that an object is in."""
    depth: int

    @property
    def present(self) -> Tensor:
        """(F * N,), whether the object is in the slice."""
        return self.masks.flatten(1).any(dim=1)


def scans_of(manifest: Path, protocol: ProtocolConfig, role: str) -> list[Scan]:
    """T1W scans of the patients who have this role in the sweeps of this protocol, and of nobody else."""
    read = read_manifest(manifest, DataConfig(manifest=str(manifest), target_labels=("pancreas",)))
    roles = assign_roles([case.info for case in read.cases], protocol.factors, protocol.folds)[0]
    scans = []
    for case in read.cases:
        if case.info.sequence == SEQUENCE and roles[case.info.patient_id] == role and case.label is not None:
            volume = read_volume(case.image)
            levels, mask = to_uint8(volume.array, PREPARATION), read_label(case.label, volume.native) == 1
            if mask.any():
                scans.append(Scan(levels, mask, regions(levels)))
    return scans


def draw_stacks(
    scans: Sequence[Scan], rng: np.random.Generator, *, batch: int, objects: int, depth: int, size_px: int, kind: Kind
) -> Stacks:
    """Random stacks, up or down from a random slice, and several objects of the first slice of each."""
    images, made = [], []
    for index in range(batch):
        pixels, masks = _stack(scans[rng.integers(len(scans))], rng, objects, depth, size_px)
        images.append(pixels)
        for own in masks:
            points, labels = zip(*(_prompt(mask, kind, rng, size_px) for mask in own), strict=True)
            made.append((index, _targets(own, size_px), torch.stack(points), torch.stack(labels)))
    places, targets, points, labels = zip(*made, strict=True)
    flat = [torch.stack(part, dim=1).flatten(0, 1) for part in (images, targets, points, labels)]
    return Stacks(*flat, image=torch.tensor(places), depth=depth)


def _targets(masks: Mask, size_px: int) -> Tensor:
    """(F, H, W) -> (F, S, S), in {0, 1}."""
    square = functional.interpolate(torch.from_numpy(masks).float()[:, None], (size_px, size_px), mode="bilinear")
    return (square[:, 0] > 0.5).float()


def _stack(scan: Scan, rng: np.random.Generator, objects: int, depth: int, size_px: int) -> tuple[Tensor, list[Mask]]:
    """Pixels (F, 3, S, S), and masks (F, H, W) of some objects of the first slice."""
    while True:
        start = _start(scan, rng)
        step = int(rng.choice(STEPS, p=STEP_SHARES)) * int(rng.choice((-1, 1)))
        chosen = np.clip(start + step * np.arange(depth), 0, scan.mask.shape[2] - 1)
        images, structure, parts = _moved(scan, chosen, rng)
        images = _contrast(rng)[images]
        blobs = []
        for _ in range(int(rng.integers(1, 4)) if rng.random() < BLOB_SHARE else 0):
            blob = draw_blob(images.shape, images, rng)
            images[blob.masks] = blob.shade
            blobs.append(blob.masks)
        if found := _objects(structure, parts, blobs, rng, objects):
            break
    noise, blur = rng.uniform(0, 14) * (rng.random() < 0.6), rng.random() < 0.3
    pixels = []
    for image in images:
        seen = gaussian_filter(image.astype(np.float64), BLUR_PX if blur else 0)
        seen = np.where(image > 0, seen, 0) + noise * rng.standard_normal(image.shape)
        pixels.append(model_input("medsam2", np.clip(seen, 0, 255).astype(np.uint8), size_px))
    return torch.stack(pixels), found


def _start(scan: Scan, rng: np.random.Generator) -> int:
    """A slice with the structure in two of three draws, else any."""
    area = np.sqrt(scan.mask.sum(axis=(0, 1))) if rng.random() < 2 / 3 else np.ones(scan.mask.shape[2])
    return int(rng.choice(len(area), p=area / area.sum()))


def _objects(
    structure: Mask, parts: Regions, blobs: Sequence[Mask], rng: np.random.Generator, wanted: int
) -> list[Mask]:
    """So many masks (F, H, W) of the first slice, drawn with repetition where there are fewer; none where none is."""
    shown = structure[0].sum() >= AREA_PX[0]
    regional = candidates(parts[:, 0], AREA_PX, WIDEST)
    weight = np.sqrt([area for _, _, area in regional])  # specks are many, and teach least
    pasted = [blob for blob in blobs if blob[0].sum() >= AREA_PX[0]]
    masks = []
    for _ in range(wanted):
        if shown and rng.random() < STRUCTURE_SHARE:
            masks.append(structure)
        elif pasted and (rng.random() < 0.4 or not regional):
            masks.append(pasted[rng.integers(len(pasted))])
        elif regional:
            part, number, _ = regional[rng.choice(len(regional), p=weight / weight.sum())]
            masks.append(parts[part] == number)
    return [masks[i % len(masks)] for i in range(wanted)] if masks else []


def _moved(scan: Scan, chosen: npt.NDArray[np.int_], rng: np.random.Generator) -> tuple[Bytes, Mask, Regions]:
    """Images and masks (F, H, W) and regions (P, F, H, W), mirrored, turned, scaled and shifted alike."""
    images = np.stack([as_image(scan.levels[:, :, z], PREPARATION) for z in chosen])
    masks = np.stack([as_image(scan.mask[:, :, z], PREPARATION) for z in chosen])
    parts = np.stack([[as_image(part[:, :, z], PREPARATION) for z in chosen] for part in scan.regions])
    rows, columns = images.shape[1:]
    body = np.argwhere(images[0] > images[0].mean())
    centre = (body[rng.integers(len(body))] if len(body) else np.array([rows, columns]) / 2)[::-1]
    centre = centre / (columns, rows) * 2 - 1
    native = rng.random() < NATIVE_SHARE
    zoom = 1.0 if native else np.exp(rng.uniform(*np.log(ZOOM)))
    turn = rng.uniform(-TURN_RAD, TURN_RAD)
    mirror = np.diag(rng.choice((-1.0, 1.0), size=2))
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ mirror / zoom
    shift = rng.uniform(-0.15, 0.15, size=2) if zoom < 1.2 else centre - matrix @ rng.uniform(-0.4, 0.4, size=2)
    theta = torch.from_numpy(np.column_stack([matrix, shift])).float()
    grid = functional.affine_grid(theta[None].expand(len(chosen), -1, -1), [len(chosen), 1, rows, columns], False)

    def moved(stack: npt.NDArray[np.float32], mode: str) -> npt.NDArray[np.float32]:
        found: npt.NDArray[np.float32] = functional.grid_sample(
            torch.from_numpy(stack), grid, mode=mode, align_corners=False
        ).numpy()
        return found

    levels = moved(images[:, None].astype(np.float32), "bilinear")[:, 0].round().astype(np.uint8)
    inside = moved(masks[:, None].astype(np.float32), "bilinear")[:, 0] > 0.5
    numbers = moved(parts.swapaxes(0, 1).astype(np.float32), "nearest").swapaxes(0, 1).astype(np.uint16)
    return levels, inside, numbers


def _contrast(rng: np.random.Generator) -> Bytes:
    """What each of the 256 levels becomes: of ten draws two keep their order, two invert it, six are any curve.

    Level 0 is the background, which preprocessing keeps at 0 whatever the sequence.
    """
    unit = np.linspace(0, 1, 256)
    kind = rng.choice(3, p=(0.2, 0.2, 0.6))
    if kind == 2:
        knots = rng.integers(4, 9)
        curve = np.interp(unit, np.linspace(0, 1, knots), rng.random(knots))
        curve = (curve - curve.min()) / np.ptp(curve)
    else:
        curve = (unit if kind == 0 else 1 - unit) ** np.exp(rng.uniform(-0.7, 0.7))
    table = 255 * (rng.uniform(0, 0.15) + rng.uniform(0.7, 0.85) * curve)
    if rng.random() < DARK_AIR_SHARE:
        table *= np.minimum(1, np.arange(256) / AIR_LEVEL)
    table[0] = 0
    return table.astype(np.uint8)


def _prompt(mask: Mask, kind: Kind, rng: np.random.Generator, size_px: int) -> tuple[Tensor, Tensor]:
    """Points (n, 2) and their labels (n,), n being 2 for a box and 1 for a point; zeros where the slice is empty."""
    inside = np.argwhere(mask)[:, ::-1]
    n = 2 if kind == "box" else 1
    if not len(inside):
        return torch.zeros(n, 2), torch.full((n,), -1, dtype=torch.int32)
    shape = (mask.shape[0], mask.shape[1])
    if kind == "point":
        points = inside[np.abs(inside - inside.mean(axis=0)).sum(axis=1).argmin()][None]
    else:
        low, high = inside.min(axis=0), inside.max(axis=0)
        points = np.clip(_loosened(low, high, rng), 0, (shape[1] - 1, shape[0] - 1))
    labels = torch.tensor((2, 3) if kind == "box" else (1,), dtype=torch.int32)
    return torch.from_numpy(to_model_px("medsam2", points.astype(np.float64), shape, size_px)), labels


def _loosened(low: npt.NDArray[np.int_], high: npt.NDArray[np.int_], rng: np.random.Generator) -> npt.NDArray[np.int_]:
    """The corners of a box, tight, jittered or too wide."""
    quarter = np.minimum(JITTER_PX, (high - low) // 4 + 1)
    kind = rng.random()
    if kind < TIGHT_SHARE:
        return np.stack([low + rng.integers(-1, 2, size=2), high + rng.integers(-1, 2, size=2)])
    if kind < TIGHT_SHARE + WIDE_SHARE:
        return np.stack([low - rng.integers(0, 2 * quarter + 1), high + rng.integers(0, 2 * quarter + 1)])
    return np.stack([low + rng.integers(-quarter, quarter + 1), high + rng.integers(-quarter, quarter + 1)])
