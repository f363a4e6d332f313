"""What an importer finds in somebody's folders, before a manifest is written."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dgsweep.data.finding import Findings
from dgsweep.data.importing.voxels import Voxels


@dataclass(frozen=True, kw_only=True)
class ImportOptions:
    """What a person adds to what the folders say."""

    center: str = ""
    """Center of cases whose place does not tell it."""
    sequence: str = ""
    """Sequence of cases whose place does not tell it."""
    metadata: Path | None = None
    """CSV with `case_id` or `patient_id` and further columns, which win over what file names tell."""
    splits: Path | None = None
    """nnU-Net's splits_final.json; None looks for it beside dataset.json."""
    fold: int | None = None
    """Its fold that becomes the column `split`; None leaves the column empty and notes each case's fold."""
    image_pattern: str = ""
    label_pattern: str = ""
    """Of kind `folder`, as `{center}_{patient}_{sequence}.nii.gz`."""


@dataclass(frozen=True, kw_only=True)
class FoundCase:
    """One scan, and what its place and name tell."""

    case_id: str
    patient_id: str
    center: str
    sequence: str
    image: Voxels
    label: Voxels | None = None
    split: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    """Further columns of the manifest."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """A data set as it lies there."""

    cases: tuple[FoundCase, ...]
    name: str
    labels: Mapping[str, int] = field(default_factory=dict)
    """Structure -> value in the label files."""
    licence: str = ""
    citation: str = ""
    findings: Findings = field(default_factory=Findings)
