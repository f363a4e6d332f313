"""Implicit shapes in mm and a canvas that composes them into tissue fractions, partial volume included."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from dgsweep.data.phantom.tissues import INDEX

Volume = NDArray[np.float32]
Point = tuple[float, float, float]
Box = tuple[slice, slice, slice]
WAVES = 8
FAR_MM = 1e4
"""A half axis that makes an ellipsoid a cylinder."""


@dataclass(frozen=True, kw_only=True)
class Ellipsoid:
    """An axis-aligned ellipsoid; half axes in mm, `FAR_MM` for an endless one."""

    centre: Point
    half: Point

    def bounds(self) -> tuple[Point, Point]:
        """Lowest and highest corner in mm."""
        low, high = np.subtract(self.centre, self.half), np.add(self.centre, self.half)
        return _point(low), _point(high)

    def distance(self, x: Volume, y: Volume, z: Volume) -> Volume:
        """Signed distance in mm, negative inside; first order, so exact near the surface only."""
        scaled = [
            (axis - np.float32(c)) / np.float32(h) for axis, c, h in zip((x, y, z), self.centre, self.half, strict=True)
        ]
        radius = np.sqrt(sum(s * s for s in scaled))
        slope = np.sqrt(sum((s / np.float32(h)) ** 2 for s, h in zip(scaled, self.half, strict=True)))
        return np.asarray(radius * (radius - 1) / np.maximum(slope, 1e-6), dtype=np.float32)

    def grown(self, mm: float) -> "Ellipsoid":
        """The same with each half axis longer by `mm` (shorter when negative)."""
        return Ellipsoid(centre=self.centre, half=_point(np.maximum(np.add(self.half, mm), 1.0)))


@dataclass(frozen=True, kw_only=True)
class Tube:
    """A chain of balls along a smooth line; `points` (n, 3) and `radii` (n,) in mm."""

    points: NDArray[np.float64]
    radii: NDArray[np.float64]

    def bounds(self) -> tuple[Point, Point]:
        """Lowest and highest corner in mm."""
        reach = self.radii[:, None]
        return _point((self.points - reach).min(axis=0)), _point((self.points + reach).max(axis=0))

    def distance(self, x: Volume, y: Volume, z: Volume) -> Volume:
        """Signed distance in mm, negative inside."""
        best = np.full(x.shape, FAR_MM, dtype=np.float32)
        balls = zip(self.points.astype(np.float32), self.radii.astype(np.float32), strict=True)
        for (px, py, pz), radius in balls:
            ball = np.sqrt((x - px) ** 2 + (y - py) ** 2 + (z - pz) ** 2) - radius
            np.minimum(best, ball, out=best)
        return best

    def grown(self, mm: float) -> "Tube":
        """The same with each radius longer by `mm` (shorter when negative)."""
        return Tube(points=self.points, radii=np.maximum(self.radii + mm, 0.5))


Shape = Ellipsoid | Tube


def tube(knots: list[Point], radii: list[float], *, step_mm: float = 3.0) -> Tube:
    """A tube through `knots` (mm) by cubic spline, with radii interpolated between them."""
    line = np.asarray(knots, dtype=np.float64)
    length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
    where = np.linspace(0.0, length[-1], max(2, int(length[-1] / step_mm) + 1))
    points = CubicSpline(length, line, axis=0, bc_type="natural")(where)
    return Tube(points=points, radii=np.interp(where, length, radii))


def waves(x: Volume, y: Volume, z: Volume, rng: np.random.Generator, wavelength_mm: tuple[float, float]) -> Volume:
    """Smooth noise of unit variance as a sum of plane waves: a function of place in mm, so the same on any grid."""
    total = np.zeros(x.shape, dtype=np.float32)
    for _ in range(WAVES):
        direction = rng.standard_normal(3)
        k = 2 * np.pi / rng.uniform(*wavelength_mm) * direction / np.linalg.norm(direction)
        kx, ky, kz = (np.float32(v) for v in k)
        total += np.cos(kx * x + ky * y + kz * z + np.float32(rng.uniform(0, 2 * np.pi)))
    return total / np.float32(np.sqrt(WAVES / 2))


class Canvas:
    """Tissue fractions on a grid, painted one shape over another; axes (tissue, x, y, z)."""

    def __init__(
        self, grid: tuple[Volume, Volume, Volume], bent: tuple[Volume, Volume, Volume], voxel_mm: float
    ) -> None:
        """`grid`: open 1D axes in mm as (n,1,1),(1,n,1),(1,1,n); `bent`: deformed places (x, y, z) of every voxel."""
        self._axes = tuple(axis.ravel() for axis in grid)
        self._bent = bent
        self._voxel_mm = np.float32(voxel_mm)
        self.fractions = np.zeros((len(INDEX), *bent[0].shape), dtype=np.float32)
        self.fractions[INDEX["air"]] = 1.0

    def paint(self, tissue: str, shape: Shape, *, clip: Shape | None = None, ripple: Volume | None = None) -> None:
        """Lay `shape` over what is there, cut off by `clip`, its surface moved by `ripple` mm (full grid)."""
        box = self._box(shape)
        places = tuple(axis[box] for axis in self._bent)
        if places[0].size == 0:
            return
        distance = shape.distance(*places)
        if ripple is not None:
            distance = distance + ripple[box]
        if clip is not None:
            distance = np.maximum(distance, clip.distance(*places))
        # A plane at distance d fills 1/2 - d / voxel of a voxel: the partial volume that makes boundaries dark.
        cover = np.clip(0.5 - distance / self._voxel_mm, 0.0, 1.0)
        self.fractions[(slice(None), *box)] *= 1.0 - cover
        self.fractions[(INDEX[tissue], *box)] += cover

    def _box(self, shape: Shape, margin_mm: float = 24.0) -> Box:
        # The margin holds the deformation, ripple and half a voxel.
        low, high = shape.bounds()
        ends = zip(self._axes, low, high, strict=True)
        edges = [np.searchsorted(axis, (a - margin_mm, b + margin_mm)) for axis, a, b in ends]
        x, y, z = (slice(int(a), int(b)) for a, b in edges)
        return x, y, z


def _point(values: NDArray[np.float64]) -> Point:
    x, y, z = (float(v) for v in values)
    return x, y, z
