"""Prompt protocols, and prompts from a mask. NumPy only (SciPy where a mask is hollow), so that planning can import it.

Pixels of a native axial slice are counted in voxel indices (x, y) of the volume (X, Y, Z). Boxes are (x0, y0, x1, y1)
with both ends inside, the convention of MedSAM's and MedSAM2's training data. A mask of several components is one
structure: every box goes around all of its voxels in the slice, as the published scripts do (a pancreas often shows
head and tail apart in one slice); only the propagated result is cut down to its largest component.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from dgsweep.errors import ConfigError, Problems

BOX_PROTOCOLS = ("global_3d_box", "per_slice_box", "keyslice_propagate")
"""Protocols without a parameter whose prompts are boxes; `predicted_box` takes one of them."""
PROTOCOLS = (*BOX_PROTOCOLS, "jittered_box", "center_point", "predicted_box")
VIDEO_FAMILIES = ("sam2", "medsam2")
"""Families that have a memory, and so can carry the prompt of one slice to the others."""

Box = tuple[int, int, int, int]
BoolVolume = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """What a promptable model is given."""

    name: str
    """One of `PROTOCOLS`."""
    jitter_px: int = 0
    """Greatest shift of each side of a `jittered_box`, in pixels of the native slice."""
    box: str = ""
    """The rule by which `predicted_box` makes boxes: one of `BOX_PROTOCOLS`."""

    @property
    def oracle(self) -> bool:
        """Whether the prompt comes from the reference: its numbers then stand in a panel of their own."""
        return self.name != "predicted_box"

    @property
    def rule(self) -> str:
        """How prompts are made of a mask, whichever mask it is."""
        return self.box or self.name

    @property
    def label(self) -> str:
        """For tables: `jittered_box: 10`."""
        parameter = self.box if self.name == "predicted_box" else str(self.jitter_px)
        return f"{self.name}: {parameter}" if self.name in ("jittered_box", "predicted_box") else self.name


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """A box or a point in one axial slice."""

    z: int
    kind: Literal["box", "point"]
    box_px: Box | None = None
    """(x0, y0, x1, y1), voxel indices, both ends inside."""
    point_px: tuple[int, int] | None = None
    """(x, y), voxel indices."""


def parse_protocols(values: Iterable[object], where: str = "prompts") -> tuple[Protocol, ...]:
    """Read protocols: a name, or a name with its parameter as `{jittered_box: 10}`, `{predicted_box: per_slice_box}`.

    Raises:
        ConfigError: All that is wrong with any of them.
    """
    problems = Problems()
    found: list[Protocol] = []
    for index, value in enumerate(values):
        made = _parse(value, f"{where}[{index}]", problems)
        if made is not None and made in found:
            problems.add(f"{where}[{index}]", f"{made.label!r} stands twice", "remove one")
        elif made is not None:
            found.append(made)
    problems.raise_if_any(ConfigError, "prompt protocols cannot be read")
    return tuple(found)


def parse_protocol(value: object, where: str = "prompt") -> Protocol:
    """Read one protocol; see `parse_protocols`."""
    problems = Problems()
    made = _parse(value, where, problems)
    problems.raise_if_any(ConfigError, "a prompt protocol cannot be read")
    if made is None:
        raise AssertionError("a protocol that is not read has a problem")
    return made


def _parse(value: object, where: str, problems: Problems) -> Protocol | None:
    name, parameter = _name_and_parameter(value)
    if name not in PROTOCOLS:
        problems.add(where, f"{value!r} is no prompt protocol", f"one of: {', '.join(PROTOCOLS)}")
    elif name == "jittered_box":
        if isinstance(parameter, int) and not isinstance(parameter, bool) and parameter >= 0:
            return Protocol(name=name, jitter_px=parameter)
        problems.add(where, f"jittered_box has {parameter!r} as its parameter", "write `jittered_box: 10` (pixels)")
    elif name == "predicted_box":
        box = "per_slice_box" if parameter is None else parameter
        if isinstance(box, str) and box in BOX_PROTOCOLS:
            return Protocol(name=name, box=box)
        problems.add(where, f"predicted_box has {box!r} as its rule", f"one of: {', '.join(BOX_PROTOCOLS)}")
    elif parameter is not None:
        problems.add(where, f"{name} takes no parameter, found {parameter!r}", f"write `{name}`")
    else:
        return Protocol(name=name)
    return None


def _name_and_parameter(value: object) -> tuple[str, Any]:
    if isinstance(value, Mapping) and len(value) == 1:
        name, parameter = next(iter(value.items()))
        return str(name), parameter
    if not isinstance(value, str):
        return "", None
    name, colon, text = (part.strip() for part in value.partition(":"))
    return name, (int(text) if text.isdecimal() else text) if colon else None


def unsupported(family: str, protocol: Protocol) -> str:
    """Why this family cannot be given this protocol; '' when it can."""
    if protocol.rule == "keyslice_propagate" and family not in VIDEO_FAMILIES:
        return f"{family} sees single slices, and {protocol.label} needs a memory: {' or '.join(VIDEO_FAMILIES)}"
    return ""


def outside_training(family: str, protocol: Protocol) -> str:
    """Why a result of this pair is not what the family was trained for; '' when it is. For a note in the table."""
    if family in ("medsam", "medsam2") and protocol.rule == "center_point":
        return f"{family} was trained with boxes, not with points"
    return ""


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
