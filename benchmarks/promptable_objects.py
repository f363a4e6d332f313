"""Things to point at: what a T1W scan of the phantom shows besides the pancreas, found by intensity and by no label.

A model that only ever saw one structure would learn to find that and to ignore its prompt. So it is trained on
anything, as SAM was: on connected regions of like intensity, on smooth shapes pasted into the image, and on the
pancreas in between.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import find_objects, gaussian_filter, label

LEVELS = (3, 4, 6, 8)
"""Numbers of classes of intensity; each divides the scan in another way."""
SMOOTHED_VX = 0.7
SIZE_VX = (60, 40_000)
"""Of a region: below are specks, above is the body."""
LEAST_FILLED = 0.35
"""Of its box, in a slice: a region that fills less is a net or a rim rather than a thing."""
BLOB_RADIUS_PX = (4.0, 22.0)
BLOB_CONTRAST = (25, 160)
"""Levels of 255 between a pasted shape and what it covers."""
Bytes = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Regions = npt.NDArray[np.uint16]


def regions(levels: Bytes) -> Regions:
    """Connected regions of like intensity of a scan (X, Y, Z), numbered from 1, as (len(LEVELS), X, Y, Z).

    Classes hold the same number of voxels of the body each, so that none depends on the sequence's range. What is too
    small or too large is 0.
    """
    smooth = gaussian_filter(levels.astype(np.float32), SMOOTHED_VX)
    body = smooth > 0.5 * smooth.mean()
    return np.stack([_of_classes(smooth, body, n) for n in LEVELS])


def _of_classes(smooth: npt.NDArray[np.float32], body: Mask, n: int) -> Regions:
    borders = np.quantile(smooth[body], np.linspace(0, 1, n + 1)[1:-1])
    classes = np.where(body, 1 + np.digitize(smooth, borders), 0)
    found, count = np.zeros(smooth.shape, dtype=np.uint16), 0
    for k in range(1, n + 1):
        parts, _ = label(classes == k)
        sizes = np.bincount(parts.ravel())
        fits = (sizes >= SIZE_VX[0]) & (sizes <= SIZE_VX[1])
        fits[0] = False
        numbers = np.where(fits, count + np.cumsum(fits), 0).astype(np.uint16)
        found = np.maximum(found, numbers[parts])
        count += int(fits.sum())
    return found


@dataclass(frozen=True)
class Blob:
    """A smooth shape that goes through a stack of slices."""

    masks: Mask
    """(F, H, W)."""
    shade: int
    """Its level."""


def draw_blob(shape: tuple[int, int, int], images: Bytes, rng: np.random.Generator) -> Blob:
    """A star-shaped blob in a stack of `shape` (F, H, W): largest somewhere near the first slice, ending at random."""
    frames, rows, columns = shape
    radius = np.exp(rng.uniform(*np.log(BLOB_RADIUS_PX)))
    centre = rng.uniform(0.2, 0.8, size=2) * (rows, columns)
    y, x = np.mgrid[:rows, :columns].astype(np.float32)
    turn, stretch = rng.uniform(0, np.pi), np.exp(rng.uniform(-0.6, 0.6))
    dy, dx = y - centre[0], x - centre[1]
    u = (dx * np.cos(turn) + dy * np.sin(turn)) * stretch
    v = (dy * np.cos(turn) - dx * np.sin(turn)) / stretch
    angle, waves = np.arctan2(v, u), np.zeros_like(u)
    for k in (2, 3, 4, 5):
        waves += rng.normal(0, 0.35 / k) * np.cos(k * angle + rng.uniform(0, 2 * np.pi))
    distance = np.hypot(u, v) / np.maximum(1 + waves, 0.3)
    middle, reach = rng.uniform(-2, 2), rng.uniform(2.5, 8)
    radii = radius * np.sqrt(np.clip(1 - ((np.arange(frames) - middle) / reach) ** 2, 0, None))
    masks = distance[None] < radii[:, None, None]
    below = float(images[masks].mean()) if masks.any() else 0.0
    contrast = rng.uniform(*BLOB_CONTRAST) * rng.choice((-1, 1))
    shade = below + contrast if 0 < below + contrast < 255 else below - contrast
    return Blob(masks, int(np.clip(shade, 1, 255)))


def candidates(first: Regions, area_px: Sequence[int], widest: float) -> list[tuple[int, int, int]]:
    """Regions (partition, number, area) of a slice (P, H, W): compact, of an area in the range, of no more than so
    much of the image."""
    rows, columns = first.shape[1:]
    found: list[tuple[int, int, int]] = []
    for part, numbers in enumerate(first):
        area = np.bincount(numbers.ravel())
        for number, place in enumerate(find_objects(numbers), start=1):
            if place is None or not area_px[0] <= area[number] <= area_px[1]:
                continue
            high, wide = (side.stop - side.start for side in place)
            if high < widest * rows and wide < widest * columns and area[number] > LEAST_FILLED * high * wide:
                found.append((part, number, int(area[number])))
    return found
