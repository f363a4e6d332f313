"""What a data check tells of each case beside its problems: geometry, intensities, and header fields that hold text."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import numpy.typing as npt

from dgsweep.data.geometry import Volume
from dgsweep.data.grid import NativeGrid
from dgsweep.data.manifest import Case
from dgsweep.data.nifti import UNREADABLE

BINS = np.linspace(-3.0, 6.0, 73)
"""Edges of the histograms, in standard deviations of the whole scan around its mean: what a network sees."""
TEXT_FIELDS = ("descrip", "aux_file", "intent_name", "db_name")
TOOLS = (
    "fsl",
    "itk",
    "ants",
    "spm",
    "nibabel",
    "simpleitk",
    "dcm2nii",
    "mrtrix",
    "time=",
    "te=",
    "tr=",
    "slicer",
    "nifti",
)
"""What programs write into `descrip`; anything else may be a name."""
OBLIQUE_DEG = 1.0

Counts = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class CaseFacts:
    """One case as it lies in its files."""

    case_id: str
    patient_id: str
    domain: str
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    axes: str
    """Directions in which the file's axes run, as nibabel's axis codes: LPS, RAS ..."""
    oblique_deg: float
    """Largest angle between a file axis and the patient's."""
    left_handed: bool
    low: float
    median: float
    high: float
    """Percentiles 0.5, 50 and 99.5 of the intensities."""
    histogram: Counts
    """Share of the voxels in each bin of BINS, after the z-score."""
    organ_histogram: Counts | None
    """The same of the voxels of any structure; None without one."""
    volumes_ml: Mapping[str, float]
    """Structure -> volume of the reference."""
    text_fields: tuple[str, ...]
    """Header fields of image or label that hold text which no known program writes."""


def facts_of(case: Case, volume: Volume, label: npt.NDArray[np.int32] | None) -> CaseFacts:
    """Facts of one case whose image was read, and its label (x, y, z) where it has one."""
    array = volume.array
    low, median, high = (float(value) for value in np.percentile(array, (0.5, 50, 99.5)))
    scaled = (array - array.mean()) / max(float(array.std()), 1e-8)
    voxel_ml = float(np.prod(volume.spacing_mm)) / 1000
    masks = structure_masks(case, label)
    organ = np.any(list(masks.values()), axis=0) if masks else None
    info, native = case.info, volume.native
    return CaseFacts(
        case_id=info.case_id, patient_id=info.patient_id, domain=info.domain(("center", "sequence")),
        shape=info.shape, spacing_mm=info.spacing_mm, axes="".join(nib.aff2axcodes(native.matrix)),
        oblique_deg=oblique_deg(native), left_handed=bool(np.linalg.det(native.matrix[:3, :3]) < 0),
        low=low, median=median, high=high, histogram=_shares(scaled),
        organ_histogram=_shares(scaled[organ]) if organ is not None and organ.any() else None,
        volumes_ml={name: float(mask.sum()) * voxel_ml for name, mask in masks.items()},
        text_fields=tuple(_text_fields(case)),
    )  # fmt: skip


def structure_masks(case: Case, label: npt.NDArray[np.int32] | None) -> dict[str, npt.NDArray[np.bool_]]:
    """Structure -> mask (x, y, z) of a case's label; none without a label."""
    return {} if label is None else {name: label == value for name, value in case.label_values.items()}


def oblique_deg(native: NativeGrid) -> float:
    """Largest angle in degrees between an axis of the file and the axis of the patient that it is nearest to."""
    axes = native.matrix[:3, :3] / np.linalg.norm(native.matrix[:3, :3], axis=0)
    return float(np.degrees(np.arccos(np.clip(np.abs(axes).max(axis=0), 0, 1))).max())


def may_name_somebody(text: str) -> bool:
    """Whether a header text is more than what programs write: PHI hides in such fields."""
    clean = text.strip()
    return bool(clean) and not any(tool in clean.lower() for tool in TOOLS)


def _shares(values: npt.NDArray[np.float32]) -> Counts:
    counts, _ = np.histogram(np.clip(values, BINS[0], BINS[-1]), bins=BINS)
    return np.asarray(counts / max(counts.sum(), 1), dtype=np.float64)


def _text_fields(case: Case) -> list[str]:
    """`image descrip`, `label extension` ...: the content itself is told to nobody."""
    found = []
    for what, path in (("image", case.image), ("label", case.label)):
        if path is not None:
            found += [f"{what} {field}" for field in _texts(path)]
    return found


def _texts(path: Path) -> list[str]:
    try:
        header = nib.load(path).header
        named = [field for field in TEXT_FIELDS if may_name_somebody(bytes(header[field].item()).decode("latin-1"))]
        return [*named, *(["extension"] if len(header.extensions) else [])]
    except (*UNREADABLE, AttributeError):
        return []
