"""Small volumes of single cases for the page's 3D view: cropped, coarsened to a share of bytes, as gzipped NIfTI."""

import base64
import gzip
import json
from dataclasses import dataclass
from importlib.resources import files

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from dgsweep.report.boxes import box_around

MOST_KB_A_CASE = 160
"""What image and masks of one case may take in the page, as text."""
MOST_KB_A_PAGE = 6000
"""What they may take of all cases together; each gets an equal share."""
MARGIN_MM = 15.0
"""What is kept around reference and prediction on each side."""
GREYS = 64
"""Grey levels of the image: the eye tells no more apart, and fewer compress better."""

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Scene:
    """One case. `image` and `masks` are gzipped NIfTI in base64; masks hold 1: reference, 2: prediction, 3: both."""

    image: str
    masks: str
    said: str
    """Size of its voxels, and of the scan's."""

    @property
    def bytes(self) -> int:
        """What it adds to the page."""
        return len(self.image) + len(self.masks)

    @property
    def json(self) -> str:
        """For a script element: it holds base64 and plain words only."""
        return json.dumps({"image": self.image, "masks": self.masks, "said": self.said})


def share(cases: int) -> int:
    """Bytes that each of so many cases may take."""
    return 1000 * min(MOST_KB_A_CASE, MOST_KB_A_PAGE // max(1, cases))


def scene(
    image: Image, reference: Mask, prediction: Mask, spacing_mm: tuple[float, float, float], most_bytes: int
) -> Scene:
    """The box around both masks at the finest voxels that fit into `most_bytes`; arrays are (x, y, z) in RAS order.

    Voxels become coarser by whole factors, the shortest side first: grey values are averaged, and a voxel belongs to a
    mask where half of it does.
    """
    box = box_around(reference | prediction, spacing_mm, MARGIN_MM)
    grey, masks = _greys(image)[box], (reference[box], prediction[box])
    factors = [1, 1, 1]
    while True:
        sides = [side * factor for side, factor in zip(spacing_mm, factors, strict=True)]
        found = Scene(
            image=_nifti(_coarser(grey, factors).round(), sides),
            masks=_nifti(1 * (_coarser(masks[0], factors) >= 0.5) + 2 * (_coarser(masks[1], factors) >= 0.5), sides),
            said=_said(sides, spacing_mm),
        )
        if found.bytes <= most_bytes or max(np.array(grey.shape) / factors) <= 1:
            return found
        factors[int(np.argmin(sides))] += 1


def library() -> str:
    """NiiVue's script, gzipped, in base64; `NOTICE.json` beside it says which."""
    return base64.b64encode((files("dgsweep.report") / "niivue" / "niivue.js.gz").read_bytes()).decode()


def licences() -> str:
    """The licences of what `library` holds."""
    return (files("dgsweep.report") / "niivue" / "LICENSES.txt").read_text(encoding="utf-8")


def _greys(image: Image) -> Image:
    """Grey levels from 0 to `GREYS` - 1, darkest and brightest voxels clipped."""
    low, high = np.percentile(image, [1, 99.5])
    return np.asarray(np.clip((image - low) / max(high - low, 1e-6), 0, 1) * (GREYS - 1), dtype=np.float32)


def _coarser(volume: Image | Mask, factors: list[int]) -> Image:
    """Means of blocks; the last block of an axis is filled up with its edge."""
    rest = [(0, -length % factor) for length, factor in zip(volume.shape, factors, strict=True)]
    filled = np.pad(volume.astype(np.float32), rest, mode="edge")
    shape = [part for length, factor in zip(filled.shape, factors, strict=True) for part in (length // factor, factor)]
    return np.asarray(filled.reshape(shape).mean(axis=(1, 3, 5)), dtype=np.float32)


def _nifti(volume: NDArray[np.generic], sides_mm: list[float]) -> str:
    """Nothing of the scan's own header goes along."""
    plain = nib.Nifti1Image(volume.astype(np.uint8), np.diag([*sides_mm, 1.0])).to_bytes()
    return base64.b64encode(gzip.compress(plain, mtime=0)).decode()


def _said(sides: list[float], spacing_mm: tuple[float, float, float]) -> str:
    shown, own = (" × ".join(f"{side:.3g}" for side in of) for of in (sides, spacing_mm))
    if shown == own:
        return f"Voxels of {own} mm, as in the scan."
    return f"Voxels of {shown} mm, averaged from the scan’s {own} mm so that the page stays small."
