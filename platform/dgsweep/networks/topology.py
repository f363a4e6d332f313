"""nnU-Net's rule for kernels and poolings, from patch size and spacing; pure arithmetic."""

from collections.abc import Sequence
from dataclasses import dataclass

MIN_EDGE = 4
"""Smallest side of the coarsest feature map (nnU-Net v2: UNet_featuremap_min_edge_length)."""
MAX_POOLINGS = 5
"""Poolings at most for 3D (nnU-Net's plans rarely go beyond 5; 320 channels are reached there)."""

Steps = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Topology:
    """Kernel size and stride of each level, one number an axis; the first stride is always 1."""

    kernels: tuple[Steps, ...]
    strides: tuple[Steps, ...]

    @property
    def multiple(self) -> Steps:
        """The patch must be a multiple of this on each axis."""
        product = [1] * len(self.strides[0])
        for stride in self.strides:
            product = [have * step for have, step in zip(product, stride, strict=True)]
        return tuple(product)


def plan_topology(patch: Sequence[int], spacing_mm: Sequence[float], *, most: int = MAX_POOLINGS) -> Topology:
    """Pool an axis while it is finer than twice the finest axis left and long enough; kernel 1 on coarse axes.

    Source: Isensee et al., Nature Methods 2021, supplement (network topology); nnU-Net v2 `get_pool_and_conv_props`.
    Unlike nnU-Net, which pads the patch, an axis stops pooling where it can no longer be halved evenly.

    Args:
        patch: voxels an axis, of a volume or of a slice.
        spacing_mm: of the same axes.
        most: poolings at most.
    """
    spacing, size, axes = list(spacing_mm), list(patch), range(len(patch))
    kernel = [1 for _ in axes]
    kernels: list[Steps] = []
    strides: list[Steps] = [tuple(kernel)]
    while len(strides) <= most:
        long_enough = [axis for axis in axes if size[axis] >= 2 * MIN_EDGE and size[axis] % 2 == 0]
        if not long_enough:
            break
        finest = min(spacing[axis] for axis in long_enough)
        pooled = [axis for axis in long_enough if spacing[axis] < 2 * finest]
        if len(pooled) == 1 and size[pooled[0]] < 3 * MIN_EDGE:
            break  # nnU-Net: the last axis alone is not pooled down to the smallest edge
        kernel = _kernel(kernel, spacing)
        kernels.append(tuple(kernel))
        for axis in pooled:
            spacing[axis] *= 2
            size[axis] //= 2
        strides.append(tuple(2 if axis in pooled else 1 for axis in axes))
    kernels.append((3,) * len(kernel))
    return Topology(kernels=tuple(kernels), strides=tuple(strides))


def _kernel(before: list[int], spacing: list[float]) -> list[int]:
    """Kernel 3 on every axis within a factor of two of the finest; once 3, always 3."""
    finest = min(spacing)
    return [3 if had == 3 or axis_mm / finest < 2 else 1 for had, axis_mm in zip(before, spacing, strict=True)]
