"""The working grid and the patch, planned from source training cases only."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dgsweep.config.declaration import NetworkDeclaration
from dgsweep.config.schema import DataConfig, IntTriple, Triple
from dgsweep.plan.case import CaseInfo


@dataclass(frozen=True, kw_only=True)
class NetworkEntry:
    """A backbone with its resolved options."""

    declaration: NetworkDeclaration
    options: Mapping[str, Any]

    @property
    def multiple(self) -> IntTriple:
        """Each axis of the patch must be a multiple of this (x, y, z)."""
        return self.declaration.multiple_with(self.options)


def working_spacing(data: DataConfig, train: Sequence[CaseInfo]) -> Triple:
    """Spacing (x, y, z) in mm: the configured one, or the median of the training cases, axis by axis."""
    if data.spacing_mm is not None:
        return data.spacing_mm
    x, y, z = (round(float(statistics.median(case.spacing_mm[axis] for case in train)), 4) for axis in range(3))
    return x, y, z


def planned_patch(train: Sequence[CaseInfo], spacing_mm: Triple, network: NetworkEntry) -> IntTriple:
    """Patch (x, y, z) in voxels: the median resampled shape, capped, floored to what the network can take.

    The longest side gives way, one multiple at a time, until the patch has at most the network's `planned_voxels`.
    """
    multiple, least = network.multiple, network.declaration.least_patch
    smallest = [max(math.ceil(low / unit), 1) * unit for low, unit in zip(least, multiple, strict=True)]
    sides, steps = list[int](), list[int]()
    for axis in range(3):
        extents = [case.shape[axis] * case.spacing_mm[axis] / spacing_mm[axis] for case in train]
        side = min(network.declaration.planned_side, round(statistics.median(extents)))
        halvings = network.declaration.planned_halvings if axis < network.declaration.dims else 0
        steps.append(_planned_step(side, multiple[axis], halvings))
        sides.append(max(smallest[axis], side // steps[axis] * steps[axis]))
    while math.prod(sides) > network.declaration.planned_voxels:
        shrinkable = [axis for axis in range(3) if sides[axis] - steps[axis] >= smallest[axis]]
        if not shrinkable:
            break
        longest = max(shrinkable, key=lambda axis: (sides[axis], -axis))
        sides[longest] -= steps[longest]
    return nearest_patch((sides[0], sides[1], sides[2]), network)


def _planned_step(side: int, multiple: int, halvings: int) -> int:
    """The multiple of 2^k for the largest k up to `halvings` with 2^k <= side / 4; e.g. 116 -> 16 (112), 40 -> 8."""
    step = multiple
    for k in range(halvings + 1):
        if 2**k <= side / 4 and 2**k % multiple == 0:
            step = 2**k
    return step


def patch_problem(patch: IntTriple, network: NetworkEntry) -> str:
    """Why the network cannot take the patch, or ''."""
    name, multiple, least = network.declaration.name, network.multiple, network.declaration.least_patch
    if any(side % unit for side, unit in zip(patch, multiple, strict=True)):
        return f"found {list(patch)}, but {name} needs multiples of {list(multiple)}"
    if any(side < low for side, low in zip(patch, least, strict=True)):
        return f"found {list(patch)}, but {name} needs at least {list(least)}"
    if (left := _voxels_left(patch, multiple)) < network.declaration.least_voxels:
        wanted = network.declaration.least_voxels
        return f"found {list(patch)}, of which {name} keeps {left} voxel at its lowest resolution; it needs {wanted}"
    return ""


def nearest_patch(patch: IntTriple, network: NetworkEntry) -> IntTriple:
    """The patch nearest to `patch` that the network can take; halves round up."""
    multiple, least = network.multiple, network.declaration.least_patch
    counts = [
        max(1, math.ceil(low / unit), (2 * side + unit) // (2 * unit))
        for side, low, unit in zip(patch, least, multiple, strict=True)
    ]
    while math.prod(counts) < network.declaration.least_voxels:
        counts[max(range(3), key=lambda axis: patch[axis])] += 1
    x, y, z = (count * unit for count, unit in zip(counts, multiple, strict=True))
    return x, y, z


def _voxels_left(patch: IntTriple, multiple: IntTriple) -> int:
    return math.prod(side // unit for side, unit in zip(patch, multiple, strict=True))
