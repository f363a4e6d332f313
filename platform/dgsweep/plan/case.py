"""What planning knows of a scan: who, where, which sequence, and its content, never its path."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class CaseInfo:
    """One 3D scan of one patient, as the planner sees it."""

    case_id: str
    patient_id: str
    center: str
    sequence: str
    labelled: bool
    image_sha: str
    """Hash of the image file's content."""
    label_sha: str = ""
    """Hash of the label file's content, '' when unlabelled."""
    shape: tuple[int, int, int] = (0, 0, 0)
    """Voxels (x, y, z) in canonical (RAS) orientation."""
    spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Voxel size (x, y, z) in canonical (RAS) orientation."""
    split: str = ""
    """`train`, `val` or `test` when the data set has an official split."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """Every manifest column as text, so that any of them can be a factor."""

    def domain(self, factors: tuple[str, ...]) -> str:
        """Name of the domain: the values of the protocol's factors joined by `/`."""
        return "/".join(self.factor(name) for name in factors)

    def factor(self, name: str) -> str:
        """Value of one factor (a manifest column)."""
        return {"center": self.center, "sequence": self.sequence}.get(name) or self.columns.get(name, "")
