"""NSD weighted by surface area: the form of Nikolov et al., arXiv:1809.04430, section "Surface DSC".

The surface runs between voxel centres. Every voxel corner whose 8 voxels are neither all inside nor all outside
carries one surface element (surfel). Its area is that of the marching-cubes surface through the centres of those 8
voxels, cut at the middle of each edge. We compute the 256 areas instead of carrying a table. Marching cubes leaves two
choices open: on a face whose diagonals differ we cut off the voxels of the rarer kind (inside or outside) from each
other, and we split a cut that is not flat into the triangles that give it the largest area at unit spacing. With these
choices all 256 areas equal those of google-deepmind/surface-distance (tests/metrics/test_surfel.py).
"""

from functools import cache
from itertools import combinations, product

import numpy as np
from numpy.typing import NDArray

from dgsweep.metrics.masks import Mask, MaskPair, Points, SpacingMm
from dgsweep.metrics.surface import TAU_SLACK_MM, GridPoints, border_voxels, directed_distances

Vector = NDArray[np.float64]
Edge = tuple[int, int]

_CORNERS = tuple(product((0, 1), repeat=3))
_MAX_TRIANGLES = 4


def nsd_surfel(pair: MaskPair, tau_mm: float) -> float:
    """Return the area of both surfaces within `tau_mm` of the other, over all their area; neither mask is empty."""
    pred, pred_area = surfels(pair.pred, pair.spacing_mm)
    ref, ref_area = surfels(pair.ref, pair.spacing_mm)
    distances = directed_distances(pred, ref)
    limit = tau_mm + TAU_SLACK_MM
    near = pred_area[distances.pred_to_ref <= limit].sum() + ref_area[distances.ref_to_pred <= limit].sum()
    return float(near / (pred_area.sum() + ref_area.sum()))


def surfels(mask: Mask, spacing_mm: SpacingMm) -> tuple[GridPoints, Vector]:
    """Return the surface elements of a mask: their places on the grid of voxel corners and their areas (n,) in mm2."""
    n_x, n_y, n_z = shape = (mask.shape[0] + 1, mask.shape[1] + 1, mask.shape[2] + 1)
    codes = np.zeros(n_x * n_y * n_z, dtype=np.uint8)
    offsets = [int(np.ravel_multi_index(corner, shape)) for corner in _CORNERS]
    origin = _on_corner_grid(mask.voxels, mask.shape, shape)
    for bit, offset in enumerate(offsets):
        # The voxel at `origin` is the one opposite of this corner; a voxel comes once a bit, so `|=` misses none.
        codes[origin + offset] |= np.uint8(1 << bit)
    # Each mixed block of 8 voxels holds a pair of face neighbours, one in, one out: so a border voxel touches it.
    border = _on_corner_grid(border_voxels(mask), mask.shape, shape)
    touched = np.unique(np.concatenate([border + offset for offset in offsets]))
    keys = touched[codes[touched] != 255]
    points = GridPoints(keys=keys, shape=shape, spacing_mm=spacing_mm)
    return points, surfel_areas_mm2(spacing_mm)[codes[keys]]


def _on_corner_grid(voxels: Points, shape: tuple[int, int, int], corner_shape: tuple[int, int, int]) -> Points:
    return np.ravel_multi_index(np.unravel_index(voxels, shape), corner_shape).astype(np.int64, copy=False)


def surfel_areas_mm2(spacing_mm: SpacingMm) -> Vector:
    """Return the area in mm2 of the surface through 8 voxels for each of the 256 patterns of inside and outside.

    Bit k of a pattern stands for the voxel with offset `(k >> 2 & 1, k >> 1 & 1, k & 1)`; a pattern, its complement and
    its mirror image through the centre have the same area, so the direction of the axes does not matter.
    """
    x, y, z = spacing_mm
    # Stretching the axes stretches a cross product by the products of the other two.
    return np.asarray(np.linalg.norm(_half_normals() * np.array([y * z, x * z, x * y]), axis=2).sum(axis=1))


@cache
def _half_normals() -> NDArray[np.float64]:
    """Return half the cross products of the triangles of each pattern at unit spacing, (256, 4, 3), padded with 0."""
    table = np.zeros((256, _MAX_TRIANGLES, 3))
    for code in range(1, 255):
        triangles = [triangle for loop in _loops(_inside(code)) for triangle in _largest_split(_middles(loop))]
        table[code, : len(triangles)] = triangles
    return table


def _inside(code: int) -> frozenset[int]:
    """Return the corners that are inside, or those outside where they are fewer: both have the same surface."""
    corners = frozenset(corner for corner in range(8) if code >> corner & 1)
    return corners if len(corners) <= 4 else frozenset(range(8)) - corners


def _loops(inside: frozenset[int]) -> list[list[Edge]]:
    """Return the closed outlines, as cut cube edges in order, that the surface draws on the faces of the cube."""
    neighbours: dict[Edge, list[Edge]] = {}
    for first, second in (segment for face in _faces() for segment in _segments(face, inside)):
        neighbours.setdefault(first, []).append(second)
        neighbours.setdefault(second, []).append(first)
    loops: list[list[Edge]] = []
    while neighbours:
        loops.append(_walk(neighbours))
    return loops


def _walk(neighbours: dict[Edge, list[Edge]]) -> list[Edge]:
    """Take one closed outline out of `neighbours`, where each cut edge knows the two next to it."""
    edge = next(iter(neighbours))
    loop: list[Edge] = []
    while edge in neighbours:
        loop.append(edge)
        first, second = neighbours.pop(edge)
        edge = first if first in neighbours else second
    return loop


@cache
def _faces() -> tuple[tuple[int, ...], ...]:
    sides = product(range(3), (0, 1))
    return tuple(tuple(k for k in range(8) if _CORNERS[k][axis] == side) for axis, side in sides)


def _segments(face: tuple[int, ...], inside: frozenset[int]) -> list[tuple[Edge, Edge]]:
    """Return the lines, as pairs of cut edges, that part inside from outside on one face."""
    edges = [pair for pair in combinations(face, 2) if _differ(*pair) == 1]
    cut = [edge for edge in edges if (edge[0] in inside) != (edge[1] in inside)]
    if len(cut) < 4:
        return [(cut[0], cut[1])] if cut else []
    around = [[edge for edge in cut if corner in edge] for corner in face if corner in inside]
    return [(first, second) for first, second in around]


def _differ(first: int, second: int) -> int:
    return (first ^ second).bit_count()


def _middles(loop: list[Edge]) -> Vector:
    return np.array([np.add(_CORNERS[first], _CORNERS[second]) / 2 for first, second in loop])


def _largest_split(polygon: Vector) -> list[Vector]:
    """Split a polygon (n, 3) into n - 2 triangles of the largest total area; return half their cross products."""
    if len(polygon) < 3:
        return []
    splits = []
    for apex in range(1, len(polygon) - 1):
        half_normal = np.cross(polygon[apex] - polygon[0], polygon[-1] - polygon[0]) / 2
        splits.append([half_normal, *_largest_split(polygon[: apex + 1]), *_largest_split(polygon[apex:])])
    return max(splits, key=lambda split: float(np.linalg.norm(split, axis=1).sum()))
