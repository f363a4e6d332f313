"""Quality check of a data set before anything is trained on it: everything that can be told from files and voxels."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import numpy.typing as npt
from nibabel.affines import voxel_sizes

from dgsweep.config.schema import DataConfig
from dgsweep.data.case_facts import CaseFacts, facts_of
from dgsweep.data.domain_checks import check_domains
from dgsweep.data.finding import Finding, Findings
from dgsweep.data.geometry import Volume, read_label, read_volume
from dgsweep.data.grid import NativeGrid, Spacing
from dgsweep.data.hashes import HashStore
from dgsweep.data.label_content import label_values
from dgsweep.data.manifest import Case, inspect_manifest
from dgsweep.data.nifti import UNREADABLE
from dgsweep.errors import CaseError, ManifestError

Look = Callable[[Case, Volume, npt.NDArray[np.int32] | None], None]
OUTLIER_FACTOR = 2.0
"""A voxel side or field of view this far from the median of its domain is reported."""
OUTLIER_CASES = 3
"""Smallest domain whose median means anything."""
HEADER_TOLERANCE = 0.01
"""Relative difference from which two statements of the voxel size contradict each other."""


@dataclass(frozen=True, kw_only=True)
class CheckResult:
    """What a check found; errors keep the data from being used, warnings want a look."""

    findings: tuple[Finding, ...]
    cases: int
    """Cases whose files could be read."""
    facts: tuple[CaseFacts, ...] = ()
    """Of every case whose image could be read."""

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that keep the data from being used."""
        return tuple(finding for finding in self.findings if finding.severity == "error")


def check_manifest(
    path: Path, data: DataConfig, *, hashes: HashStore | None = None, look: Look | None = None
) -> CheckResult:
    """Check a manifest, its files and their voxels. Never raises for what a file holds: all becomes findings.

    `look` is shown every image that could be read, with its label, so that a page of pictures reads no scan twice.
    """
    try:
        store = hashes or HashStore()
        manifest, findings = inspect_manifest(path, data, hashes=store)
    except ManifestError as error:
        found = [Finding(where=problem.where, found=problem.found, fix=problem.fix) for problem in error.problems]
        return CheckResult(findings=tuple(found), cases=0)
    values = label_values(manifest.cases, store, Findings())
    facts = []
    for case in manifest.cases:
        if (volume := _check_image(case, findings)) is not None:
            label = _readable_label(case, volume)
            facts.append(facts_of(case, volume, label))
            if look is not None:
                look(case, volume, label)
        if case.label is not None and case.info.case_id in values:
            _check_label(case, values[case.info.case_id], findings)
    _check_outliers(manifest.cases, findings)
    check_domains(facts, values, findings)
    return CheckResult(findings=tuple(findings.all), cases=len(manifest.cases), facts=tuple(facts))


def _check_image(case: Case, findings: Findings) -> Volume | None:
    """Findings of the image's voxels and header; None when it cannot be read."""
    where, case_id = f"case {case.info.case_id}, image", case.info.case_id
    try:
        volume = read_volume(case.image)
    except CaseError as error:
        _note(error, where, case_id, findings)
        return None
    if volume.array.min() == volume.array.max():
        findings.warn(where, f"every voxel is {volume.array.flat[0]:g}", "look at the scan", case_id=case_id)
    for contradiction in _header_contradictions(case.image, volume.native):
        findings.warn(where, contradiction, "the affine that nibabel prefers is used; check it", case_id=case_id)
    return volume


def _readable_label(case: Case, volume: Volume) -> npt.NDArray[np.int32] | None:
    """Values (x, y, z) of the case's label; None without one, and where it cannot be read, which was told before."""
    try:
        return None if case.label is None else read_label(case.label, volume.native)
    except CaseError:
        return None


def _check_label(case: Case, values: frozenset[int], findings: Findings) -> None:
    if not values & set(case.label_values.values()):
        where, names = f"case {case.info.case_id}, label", ", ".join(case.label_values) or "any structure"
        findings.warn(where, f"no voxel of {names}", "it is scored as an empty reference", case_id=case.info.case_id)


def _header_contradictions(path: Path, native: NativeGrid) -> list[str]:
    """Where qform or pixdim of the header say something else than the affine in use."""
    try:
        header = nib.load(path).header
        sizes = np.asarray(header.get_zooms()[:3], dtype=np.float64)
        qform = header.get_qform(coded=True)[0]
    except UNREADABLE as error:
        return [f"the header is irregular ({error})"]
    own = voxel_sizes(native.matrix)
    found = []
    if not np.allclose(sizes, own, rtol=HEADER_TOLERANCE):
        found.append(f"pixdim says {sizes.round(4).tolist()} mm, the affine {own.round(4).tolist()} mm")
    if qform is not None and np.abs(qform - native.matrix)[:3].max() > own.min():
        found.append("sform and qform differ by more than a voxel")
    return found


def _check_outliers(cases: Sequence[Case], findings: Findings) -> None:
    """A wrong voxel size in a header makes any network fail on that case; its neighbours give it away."""
    by_domain: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        by_domain[case.info.domain(("center", "sequence"))].append(case)
    for domain, members in by_domain.items():
        if len(members) < OUTLIER_CASES:
            continue
        for name, measures in (
            ("voxel size", [case.info.spacing_mm for case in members]),
            ("field of view", [_field_of_view(case) for case in members]),
        ):
            median = np.median(np.array(measures), axis=0)
            for case, measure in zip(members, measures, strict=True):
                factor = np.maximum(np.array(measure) / median, median / np.array(measure)).max()
                if factor > OUTLIER_FACTOR:
                    shown = (
                        f"{name} {np.round(measure, 3).tolist()} mm, median of {domain} {median.round(3).tolist()} mm"
                    )
                    findings.warn(f"case {case.info.case_id}, image", shown, "check the header against the scanner's",
                                  case_id=case.info.case_id)  # fmt: skip


def _field_of_view(case: Case) -> Spacing:
    x, y, z = (length * side for length, side in zip(case.info.shape, case.info.spacing_mm, strict=True))
    return x, y, z


def _note(error: CaseError, where: str, case_id: str, findings: Findings) -> None:
    for problem in error.problems:
        findings.error(where, problem.found, problem.fix, case_id=case_id)
