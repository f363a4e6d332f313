"""What each family sees of a slice, as it was trained, and how its masks return to the native slice.

A volume is (X, Y, Z) in closest RAS, an image (H, W) = (rows, columns). The `radiological` view is the one in which
such images are published: rows run from anterior to posterior, columns from the patient's right to the left, so both
axes of RAS are turned round: image[r, c] = volume[X-1-c, Y-1-r, z]. The `array` view only transposes: volume[c, r, z].

Sources: windowing from MedSAM `pre_CT_MR.py` (MR branch) for all four, since none of the others publishes one for MR;
SAM `segment_anything/utils/transforms.py` and `modeling/sam.py`; MedSAM `pre_CT_MR.py` of 2023, which resizes its
training slices (its inference script also cuts the fractions off after the resize); SAM 2 `sam2/utils/transforms.py`;
MedSAM2 `medsam2_infer_3D_CT.py`.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from dgsweep.errors import CaseError, Problem

VERSION = 1
"""Raised whenever the numbers that a model sees change, so that kept embeddings are not used any more."""
SAM_MEAN, SAM_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
"""Of SAM's RGB images on 0-255."""
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of SAM 2's and MedSAM2's RGB images on 0-1."""
SMALLEST_RANGE = 1e-8
"""MedSAM divides a slice by at least this; a constant one becomes 0."""

FloatArray = npt.NDArray[np.float64]
Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """How intensities and axes become images."""

    low_pct: float = 0.5
    """Percentile of the voxels above 0 that becomes black."""
    high_pct: float = 99.5
    """Percentile of the voxels above 0 that becomes white."""
    view: Literal["radiological", "array"] = "radiological"


def to_uint8(volume: npt.NDArray[Any], preparation: Preparation, where: str = "volume") -> Bytes:
    """Clip a volume (X, Y, Z) to its percentiles and bring it to 0-255, where voxels of exactly 0 stay 0.

    Percentiles are those of the voxels above 0, or of all where there is none (an image of negative values only). A
    constant volume becomes 0. The fraction is cut off, as NumPy's conversion to uint8 does.

    Raises:
        CaseError: Voxels are NaN or infinite: percentiles, and so every voxel, would be NaN without a word.
    """
    values = volume.astype(np.float64)
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        first = tuple(int(index) for index in bad[0])
        found = f"{len(bad)} of {values.size} voxels are NaN or infinite, the first at (x, y, z) = {first}"
        problem = Problem(where=where, found=found, fix="replace them by the background value")
        raise CaseError("a promptable model cannot see this image", [problem])
    positive = values[values > 0]
    chosen = positive if positive.size else values
    low, high = np.percentile(chosen, [preparation.low_pct, preparation.high_pct])
    clipped = np.clip(values, low, high)
    darkest, brightest = clipped.min(), clipped.max()
    if brightest <= darkest:
        return np.zeros(values.shape, dtype=np.uint8)
    scaled: FloatArray = (clipped - darkest) / (brightest - darkest) * 255.0
    scaled[values == 0] = 0
    return scaled.astype(np.uint8)


def as_image(plane: npt.NDArray[Any], preparation: Preparation) -> npt.NDArray[Any]:
    """A plane (X, Y) of the volume as an image (H, W) in the chosen view."""
    turned = plane[::-1, ::-1] if preparation.view == "radiological" else plane
    return np.ascontiguousarray(turned.T)


def as_plane(image: npt.NDArray[Any], preparation: Preparation) -> npt.NDArray[Any]:
    """Inverse of `as_image`: (H, W) -> (X, Y)."""
    return image.T[::-1, ::-1] if preparation.view == "radiological" else image.T


def box_in_image(
    box_px: tuple[int, int, int, int], size: tuple[int, int], preparation: Preparation
) -> tuple[int, int, int, int]:
    """A box (x0, y0, x1, y1) of voxel indices in a slice of `size` (X, Y), in columns and rows of the image."""
    if preparation.view == "array":
        return box_px
    x0, y0, x1, y1 = box_px
    return size[0] - 1 - x1, size[1] - 1 - y1, size[0] - 1 - x0, size[1] - 1 - y0


def model_input(family: str, image: Bytes, image_size: int) -> Tensor:
    """Pixel values (3, S, S) in float32 of an image (H, W) of bytes, exactly as the family was trained."""
    if family == "sam":
        return _sam_input(image, image_size)
    if family == "medsam":
        return _medsam_input(image, image_size)
    if family == "sam2":
        scaled = torch.from_numpy(image).float()[None, None] / 255.0
        square = functional.interpolate(scaled, (image_size,) * 2, mode="bilinear", antialias=True)[0, 0]
        return _normalised(square, IMAGENET_MEAN, IMAGENET_STD)
    if family == "medsam2":
        resized = resize_bytes(image, (image_size, image_size), "bicubic")
        return _normalised(resized / 255.0, IMAGENET_MEAN, IMAGENET_STD)
    raise ValueError(f"no preprocessing is known for {family!r}")


def to_model_px(
    family: str, points: npt.NDArray[Any], native: tuple[int, int], image_size: int
) -> npt.NDArray[np.float32]:
    """Points (..., 2) as (column, row) of the native image (H, W) -> pixels of the model's image.

    A plain factor for each axis, without half a pixel: as in all four, whose prompt encoders add 0.5 afterwards.
    """
    rows, columns = _content_size(native, image_size) if family == "sam" else (image_size, image_size)
    return (points * np.array([columns / native[1], rows / native[0]])).astype(np.float32)


def to_native(family: str, low_res: Tensor, native: tuple[int, int], image_size: int) -> tuple[Tensor, Tensor]:
    """Low-resolution logits (B, h, w) -> probability (B, H, W) in float32 and mask (B, H, W), as each family does it.

    MedSAM interpolates probabilities; SAM logits, to its input size, from which it cuts the padding; the others logits.
    """
    logits = low_res.float()[:, None]
    if family == "medsam":
        probability = _bilinear(torch.sigmoid(logits), native)[:, 0]
        return probability, probability > 0.5
    if family == "sam":
        rows, columns = _content_size(native, image_size)
        logits = _bilinear(logits, (image_size, image_size))[..., :rows, :columns]
    logits = _bilinear(logits, native)[:, 0]
    return torch.sigmoid(logits), logits > 0


def _bilinear(image: Tensor, size: tuple[int, int]) -> Tensor:
    return functional.interpolate(image, size, mode="bilinear", align_corners=False)


def _content_size(native: tuple[int, int], image_size: int) -> tuple[int, int]:
    """Rows and columns of SAM's image that are not padding: the longest side fills it."""
    scale = image_size / max(native)
    return int(native[0] * scale + 0.5), int(native[1] * scale + 0.5)


def _sam_input(image: Bytes, image_size: int) -> Tensor:
    native = (image.shape[0], image.shape[1])
    rows, columns = _content_size(native, image_size)
    content = _normalised(resize_bytes(image, (rows, columns), "bilinear"), SAM_MEAN, SAM_STD)
    return functional.pad(content, (0, image_size - columns, 0, image_size - rows))


def _normalised(grey: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """(H, W) -> (3, H, W): the grey image in all three colours, less the mean of each, over its standard deviation."""
    return (grey - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)


def resize_bytes(image: Bytes, size: tuple[int, int], mode: Literal["bilinear", "bicubic"]) -> Tensor:
    """Resize (H, W) bytes as Pillow does: anti-aliased, columns first, rounded to bytes after each pass.

    Returns:
        `size` (rows, columns), float32 of whole numbers 0-255.
    """
    flow = torch.from_numpy(image).float()[None, None]
    for shape in ((image.shape[0], size[1]), size):
        flow = functional.interpolate(flow, shape, mode=mode, antialias=True)
        flow = (flow + 0.5).floor().clamp(0, 255)
    return flow[0, 0]


def _medsam_input(image: Bytes, image_size: int) -> Tensor:
    """Squashed by cubic splines, then the range of the slice itself brought to 0-1; no mean, no standard deviation."""
    square = resize_by_splines(image.astype(np.float64), image_size)
    span = max(float(square.max() - square.min()), SMALLEST_RANGE)
    unit = torch.from_numpy((square - square.min()) / span).float()
    return unit.expand(3, -1, -1).contiguous()


def resize_by_splines(image: FloatArray, image_size: int) -> FloatArray:
    """Resize (H, W) to a square like scikit-image's `resize(order=3, mode="constant", anti_aliasing=True)`.

    Smoothing and splines are linear and separable, so each axis is one matrix. Beyond the image there are zeros. The
    result stays in the range of the image, to which 0 is added where the splines reach down to it.
    """
    rows, columns = _spline_matrix(image.shape[0], image_size), _spline_matrix(image.shape[1], image_size)
    resized: FloatArray = rows @ image @ columns.T
    darkest = float(image.min()) if resized.min() > 0 else min(0.0, float(image.min()))
    return np.clip(resized, darkest, image.max())


@lru_cache(maxsize=8)
def _spline_matrix(n: int, size: int) -> FloatArray:
    """(size, n): each resized pixel's weights for the pixels of a line."""
    from scipy.ndimage import gaussian_filter1d, zoom

    lines: FloatArray = np.eye(n)
    if n > size:
        lines = gaussian_filter1d(lines, sigma=(n / size - 1) / 2, axis=0, mode="grid-constant")
    weights = [zoom(line, size / n, order=3, mode="grid-constant", grid_mode=True) for line in lines.T]
    return np.stack(weights, axis=1)
