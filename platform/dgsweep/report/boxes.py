"""The part of a scan that a picture shows."""

import numpy as np
from numpy.typing import NDArray


def box_around(shown: NDArray[np.bool_], spacing_mm: tuple[float, float, float], margin_mm: float) -> tuple[slice, ...]:
    """Box around the voxels of a mask (x, y, z) with a margin, within the image; around its middle without any."""
    found = np.argwhere(shown) if shown.any() else np.array(shown.shape)[None] // 2
    margin = np.ceil(margin_mm / np.asarray(spacing_mm)).astype(int)
    low = np.maximum(found.min(axis=0) - margin, 0)
    high = np.minimum(found.max(axis=0) + margin + 1, shown.shape)
    return tuple(slice(int(start), int(stop)) for start, stop in zip(low, high, strict=True))
