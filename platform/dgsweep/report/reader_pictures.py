"""What a reader sees of one mask: slices through it as plain pictures, with the mask's outline as a line above each."""

import base64
import io
from collections.abc import Iterator
from dataclasses import dataclass

import matplotlib.image
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dgsweep.report.boxes import box_around
from dgsweep.report.overlays import AXES, MARGIN_MM, Volumes

LEVELS = 8
"""Axial slices, evenly through the structure."""


@dataclass(frozen=True, kw_only=True)
class Tile:
    """One slice. `outline` is an SVG path in pixels of the picture, '' where the slice holds nothing of the mask."""

    name: str
    uri: str
    width: int
    height: int
    ratio: float
    """Width over height as they are in the body."""
    outline: str


def tiles(volumes: Volumes) -> list[Tile]:
    """Axial slices through mask and reference, and one coronal and sagittal, in radiological orientation.

    The reference decides with the mask where slices lie, so that what a mask missed is in view; it is not drawn.
    """
    shown = volumes.reference | volumes.prediction
    found = np.argwhere(shown) if shown.any() else np.array(shown.shape)[None] // 2
    centre = found.mean(axis=0).round().astype(int)
    box = box_around(shown, volumes.spacing_mm, MARGIN_MM)
    grey = tuple(float(level) for level in np.percentile(volumes.image, [1, 99.5]))
    levels = np.linspace(found[:, 2].min(), found[:, 2].max(), LEVELS).round().astype(int)
    cuts = [(2, int(level)) for level in dict.fromkeys(levels.tolist())] + [(1, int(centre[1])), (0, int(centre[0]))]
    return [_tile(volumes, box, axis, place, grey) for axis, place in cuts]


def _tile(volumes: Volumes, box: tuple[slice, ...], axis: int, place: int, grey: tuple[float, ...]) -> Tile:
    image, mask = (
        _upright(np.take(volume[box], place - box[axis].start, axis=axis), axis)
        for volume in (volumes.image, volumes.prediction)
    )
    height, width = image.shape
    across, up = (volumes.spacing_mm[other] for other in range(3) if other != axis)
    name = dict(AXES)[axis]
    return Tile(
        name=name, uri=_png(image, grey), width=width, height=height, ratio=width * across / (height * up),
        outline=" ".join(_paths(mask)),
    )  # fmt: skip


def _upright(plane: NDArray[np.generic], axis: int) -> NDArray[np.generic]:
    """A plane of RAS voxels as rows from the top: front or head above, the patient's right on the left."""
    turned = plane.T[::-1]
    return turned if axis == 0 else turned[:, ::-1]


def _png(image: NDArray[np.generic], grey: tuple[float, ...]) -> str:
    buffer = io.BytesIO()
    low, high = grey
    matplotlib.image.imsave(buffer, image, cmap="gray", vmin=low, vmax=max(high, low + 1e-6), format="png")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _paths(mask: NDArray[np.generic]) -> Iterator[str]:
    """The border of a mask as closed SVG paths; pixel centres lie at halves."""
    if not mask.any():
        return
    rows, columns = mask.shape
    axes = Figure().add_subplot()
    at = np.arange(-1, columns + 1) + 0.5, np.arange(-1, rows + 1) + 0.5
    found = axes.contour(*at, np.pad(mask, 1).astype(float), levels=[0.5])
    for path in found.get_paths():
        for polygon in path.to_polygons(closed_only=False):
            yield "M" + "L".join(f"{x:.2f} {y:.2f}" for x, y in np.asarray(polygon, dtype=np.float64)) + "Z"
