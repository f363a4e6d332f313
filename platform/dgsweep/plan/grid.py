"""The working grid and the patch, planned from source training cases only."""

import math
import statistics
from collections.abc import Sequence

from dgsweep.config.schema import DataConfig, IntTriple, Triple
from dgsweep.plan.case import CaseInfo

MAX_PATCH_SIDE = 128
MAX_PATCH_VOXELS = 128 * 128 * 64


def working_spacing(data: DataConfig, train: Sequence[CaseInfo]) -> Triple:
    """Spacing (x, y, z) in mm: the configured one, or the median of the training cases, axis by axis."""
    if data.spacing_mm is not None:
        return data.spacing_mm
    x, y, z = (round(float(statistics.median(case.spacing_mm[axis] for case in train)), 4) for axis in range(3))
    return x, y, z


def planned_patch(train: Sequence[CaseInfo], spacing_mm: Triple, multiple: IntTriple) -> IntTriple:
    """Patch (x, y, z) in voxels: the median resampled shape, capped, floored to multiples of `multiple`.

    The longest side gives way, one multiple at a time, until the patch has at most 128 * 128 * 64 voxels.
    """
    sides = []
    for axis in range(3):
        extents = [case.shape[axis] * case.spacing_mm[axis] / spacing_mm[axis] for case in train]
        side = min(MAX_PATCH_SIDE, round(statistics.median(extents)))
        sides.append(max(multiple[axis], side // multiple[axis] * multiple[axis]))
    while math.prod(sides) > MAX_PATCH_VOXELS:
        shrinkable = [axis for axis in range(3) if sides[axis] > multiple[axis]]
        if not shrinkable:
            break
        longest = max(shrinkable, key=lambda axis: (sides[axis], -axis))
        sides[longest] -= multiple[longest]
    return sides[0], sides[1], sides[2]


def nearest_patch(patch: IntTriple, multiple: IntTriple) -> IntTriple:
    """The patch nearest to `patch` whose sides are multiples of `multiple`, at least one each; halves round up."""
    x, y, z = (max(1, (2 * side + unit) // (2 * unit)) * unit for side, unit in zip(patch, multiple, strict=True))
    return x, y, z
