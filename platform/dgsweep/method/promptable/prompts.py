"""Prompts from a mask. NumPy only (SciPy where a mask is hollow), so that planning can import it.

Pixels of a native axial slice are counted in voxel indices (x, y) of the volume (X, Y, Z). Boxes are (x0, y0, x1, y1)
with both ends inside, the convention of MedSAM's and MedSAM2's training data. A mask of several components is one
structure: every box goes around all of its voxels in the slice, as the published scripts do (a pancreas often shows
head and tail apart in one slice); only the propagated result is cut down to its largest component.
"""

import hashlib
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from dgsweep.config.prompt_protocol import Protocol

Box = tuple[int, int, int, int]
BoolVolume = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """A box or a point in one axial slice."""

    z: int
    kind: Literal["box", "point"]
    box_px: Box | None = None
    """(x0, y0, x1, y1), voxel indices, both ends inside."""
    point_px: tuple[int, int] | None = None
    """(x, y), voxel indices."""


def prompts_from_mask(mask: npt.NDArray[Any], protocol: Protocol, *, seed: int, case_id: str) -> tuple[Prompt, ...]:
    """Prompts of one case, by ascending z; none when the mask is empty.

    Args:
        mask: Binary (X, Y, Z) on the native axial stack: of the reference, or of a prediction for `predicted_box`.
        protocol: What to give.
        seed: Of the sweep; with case and slice it decides the jitter, whatever other cases and slices there are.
        case_id: Of the case.

    Raises:
        ValueError: The mask is no binary volume.
    """
    binary = _binary(mask)
    slices = np.flatnonzero(binary.any(axis=(0, 1))).tolist()
    if not slices:
        return ()
    if protocol.rule == "global_3d_box":
        around = _box(np.asarray(binary.any(axis=2)))
        return tuple(_boxed(z, around) for z in slices)
    if protocol.rule == "keyslice_propagate":
        key = int(binary.sum(axis=(0, 1)).argmax())  # the lowest of several equal ones
        return (_boxed(key, _box(binary[:, :, key])),)
    if protocol.rule == "center_point":
        return tuple(Prompt(z=z, kind="point", point_px=_inner_point(binary[:, :, z])) for z in slices)
    boxes = {z: _box(binary[:, :, z]) for z in slices}
    if protocol.rule == "jittered_box":
        size = (binary.shape[0], binary.shape[1])
        boxes = {z: _jittered(box, protocol.jitter_px, size, f"{seed}|{case_id}|{z}") for z, box in boxes.items()}
    return tuple(_boxed(z, box) for z, box in boxes.items())


def _binary(mask: npt.NDArray[Any]) -> BoolVolume:
    if mask.ndim != 3:
        raise ValueError(f"a mask is (X, Y, Z), found {mask.ndim} axes")
    if mask.dtype != np.bool_ and not np.isin(mask, (0, 1)).all():
        raise ValueError("a mask holds 0 and 1 only: choose one structure of the label map first")
    return mask.astype(np.bool_)


def _boxed(z: int, box: Box) -> Prompt:
    return Prompt(z=z, kind="box", box_px=box)


def _box(plane: BoolVolume) -> Box:
    """Tight box around all foreground of (X, Y)."""
    x, y = np.nonzero(plane)
    return int(x.min()), int(y.min()), int(x.max()), int(y.max())


def _jittered(box: Box, jitter_px: int, size: tuple[int, int], stream: str) -> Box:
    """Each side moved by a whole number from U{-px..px}, clipped to the slice of `size` (X, Y), at least one pixel."""
    words = np.frombuffer(hashlib.sha256(f"jittered_box|{stream}".encode()).digest(), dtype="<u4")
    draws = np.random.default_rng(words).random(4)
    moves = np.floor(draws * (2 * jitter_px + 1)).astype(int) - jitter_px  # a wider jitter is the same draw, scaled
    x0, y0, x1, y1 = (int(side) + int(move) for side, move in zip(box, moves, strict=True))
    (x0, x1), (y0, y1) = _clipped(x0, x1, size[0]), _clipped(y0, y1, size[1])
    return x0, y0, x1, y1


def _clipped(low: int, high: int, n: int) -> tuple[int, int]:
    low, high = min(max(low, 0), n - 1), min(max(high, 0), n - 1)
    return (low, high) if low <= high else ((low + high) // 2,) * 2


def _inner_point(plane: BoolVolume) -> tuple[int, int]:
    """The centroid of (X, Y) where it lies inside, else the innermost pixel, the one nearest to it of equal ones."""
    from scipy.ndimage import distance_transform_edt

    inside = np.argwhere(plane)
    centroid = inside.mean(axis=0)
    x, y = (round(float(value)) for value in centroid)
    if plane[x, y]:
        return x, y
    depth = distance_transform_edt(np.pad(plane, 1))[1:-1, 1:-1]  # beyond the slice is outside
    deepest = np.argwhere(plane & (depth >= depth.max() - 1e-9))
    nearest = deepest[((deepest - centroid) ** 2).sum(axis=1).argmin()]
    return int(nearest[0]), int(nearest[1])
