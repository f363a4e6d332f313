"""Batched building blocks of 3D augmentations, with parameters of their own for every sample of a batch."""

import torch
from torch import Tensor
from torch.nn import functional

TRUNCATE = 4.0
"""A Gaussian kernel ends after so many standard deviations (SciPy's default)."""


def uniform(
    low: float, high: float, shape: tuple[int, ...], generator: torch.Generator, device: torch.device
) -> Tensor:
    """Draws from U(low, high) on the device."""
    return low + (high - low) * torch.rand(shape, generator=generator, device=device)


def per_sample(value: Tensor) -> Tensor:
    """(B,) as (B, 1, 1, 1, 1), to be broadcast over an image."""
    return value.view(-1, 1, 1, 1, 1)


def unit_range(image: Tensor) -> Tensor:
    """Each channel of each sample brought to [0, 1]; a constant one becomes 0. Image (B, C, X, Y, Z)."""
    low, high = image.amin((2, 3, 4), keepdim=True), image.amax((2, 3, 4), keepdim=True)
    return (image - low) / (high - low).clamp_min(1e-8)


def gaussian_blur(image: Tensor, sigma: Tensor) -> Tensor:
    """Gaussian filter in three passes; voxels beyond the border repeat it.

    Args:
        image: (B, C, X, Y, Z).
        sigma: (B,) or (B, 3), standard deviation in voxels, along x, y, z; 0 leaves the axis alone.
    """
    n, channels = image.shape[:2]
    sigma = sigma.view(n, -1).expand(n, 3)
    reach = torch.floor(TRUNCATE * sigma + 0.5)
    radius = int(reach.max())
    if radius == 0:
        return image
    offsets = torch.arange(-radius, radius + 1, device=image.device, dtype=image.dtype)
    bell = torch.exp(-0.5 * (offsets / sigma.clamp_min(1e-4)[:, :, None]) ** 2)
    bell = bell * (offsets.abs() <= reach[:, :, None])
    kernels = (bell / bell.sum(2, keepdim=True)).repeat_interleave(channels, 0)
    flow = image.reshape(1, n * channels, *image.shape[2:])
    for axis in range(3):
        shape, pad = [1, 1, 1], [0] * 6
        shape[axis] = 2 * radius + 1
        pad[4 - 2 * axis] = pad[5 - 2 * axis] = radius
        padded = functional.pad(flow, pad, mode="replicate")
        flow = functional.conv3d(padded, kernels[:, axis].view(-1, 1, *shape), groups=n * channels)
    return flow.reshape(image.shape)


def bspline_field(control: Tensor, size: tuple[int, int, int]) -> Tensor:
    """Smooth field from control points by quadratic B-splines (not interpolating; constant stays constant).

    Args:
        control: (B, C, i, j, k), at the centres of i * j * k equal cells of the volume.
        size: (X, Y, Z).

    Returns:
        (B, C, X, Y, Z).
    """
    weights = [_bspline_weights(n, cells, control) for n, cells in zip(size, control.shape[2:], strict=True)]
    return torch.einsum("bcijk,xi,yj,zk->bcxyz", control, *weights)


def _bspline_weights(size: int, cells: int, like: Tensor) -> Tensor:
    """(size, cells): value of each cell's quadratic B-spline at each voxel, rows summing to 1 (borders too)."""
    voxel = (torch.arange(size, device=like.device, dtype=like.dtype) + 0.5) * cells / size - 0.5
    far = (voxel[:, None] - torch.arange(cells, device=like.device, dtype=like.dtype)).abs()
    value = torch.where(far < 0.5, 0.75 - far**2, 0.5 * (1.5 - far).clamp_min(0.0) ** 2)
    return value / value.sum(1, keepdim=True)


def rotations(angles: Tensor) -> Tensor:
    """(B, 3) rotation vectors in radians about x, y, z -> (B, 3, 3) matrices."""
    x, y, z = angles.unbind(1)
    zero = torch.zeros_like(x)
    turning = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=1).view(-1, 3, 3)
    return torch.linalg.matrix_exp(turning)


def warp(
    image: Tensor, label: Tensor, matrix: Tensor, shift: Tensor, spacing_mm: tuple[float, float, float]
) -> tuple[Tensor, Tensor]:
    """Resample image (B, C, X, Y, Z) trilinearly and label (B, X, Y, Z) by nearest neighbour.

    Voxels from outside the patch repeat its border in the image and are background in the label.

    Args:
        image: the images.
        label: the labels.
        matrix: (B, 3, 3) maps output to input offsets from the centre, in mm, axes x, y, z.
        shift: (B, 3, X, Y, Z) further displacement of the point that is read, in voxels.
        spacing_mm: size of a voxel.
    """
    grid = _reading_grid(image, matrix, shift, spacing_mm)
    moved = functional.grid_sample(image, grid, padding_mode="border", align_corners=False)
    warped = functional.grid_sample(label[:, None].to(image.dtype), grid, mode="nearest", align_corners=False)
    return moved, warped[:, 0].to(label.dtype)


def resampled_box(image: Tensor, offset: Tensor, sides: Tensor) -> Tensor:
    """One box of each sample (B, C, X, Y, Z), resampled trilinearly to the size of the image.

    Args:
        image: the images.
        offset: (B, 3), from the image's centre to the box's, as a share of the image's sides.
        sides: (B, 3), of the box, as such shares.
    """
    n, size = len(image), image.shape[2:]
    shift = (offset * offset.new_tensor(size)).view(n, 3, 1, 1, 1).expand(n, 3, *size)
    voxel = (1.0, 1.0, 1.0)  # boxes are scaled along the axes only, so that its size does not matter
    grid = _reading_grid(image, torch.diag_embed(sides).to(image.dtype), shift.to(image.dtype), voxel)
    return functional.grid_sample(image, grid, padding_mode="border", align_corners=False)


def _reading_grid(image: Tensor, matrix: Tensor, shift: Tensor, spacing_mm: tuple[float, float, float]) -> Tensor:
    """Where each output voxel is read, as `grid_sample` wants it: (B, X, Y, Z, 3). Arguments as those of `warp`."""
    size = image.new_tensor(image.shape[2:])
    half_mm = size * image.new_tensor(spacing_mm) / 2.0
    theta = image.new_zeros(len(image), 3, 4)
    theta[:, :, :3] = (matrix * half_mm / half_mm[:, None]).flip(1, 2)  # grid_sample orders its axes z, y, x
    grid = functional.affine_grid(theta, [len(image), 1, *image.shape[2:]], align_corners=False)
    return grid + (shift.movedim(1, -1) * 2.0 / size).flip(-1)
