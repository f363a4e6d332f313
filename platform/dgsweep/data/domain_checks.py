"""Problems that only show when cases are seen beside each other: label values, intensities, orientations, texts."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from dgsweep.data.case_facts import OBLIQUE_DEG, CaseFacts
from dgsweep.data.finding import Findings
from dgsweep.data.label_content import LabelValues

RANGE_FACTOR = 10.0
"""A scan whose range of intensities is so many times its domain's median, or that much smaller, is reported."""
LEAST_CASES = 3
VOLUME_FACTOR = 8.0
"""A structure this much larger or smaller than the median of its domain is reported."""


def check_domains(facts: Sequence[CaseFacts], values: LabelValues, findings: Findings) -> None:
    """Compare cases within their domain, and domains with each other."""
    of_domain: dict[str, list[CaseFacts]] = defaultdict(list)
    for one in facts:
        of_domain[one.domain].append(one)
    _check_label_values(of_domain, values, findings)
    for domain, members in of_domain.items():
        _check_ranges(domain, members, findings)
        _check_volumes(domain, members, findings)
    _check_orientations(facts, findings)
    _check_texts(facts, findings)


def _check_label_values(of_domain: Mapping[str, Sequence[CaseFacts]], values: LabelValues, findings: Findings) -> None:
    """One center's 1 may be another's 7: told where domains do not use the same values."""
    used = {
        domain: frozenset().union(*(values.get(one.case_id, frozenset()) for one in members)) - {0}
        for domain, members in of_domain.items()
    }
    used = {domain: found for domain, found in used.items() if found}
    common = frozenset.intersection(*used.values()) if used else frozenset()
    for domain, found in used.items():
        if extra := sorted(found - common):
            others = [other for other in used if not set(extra) & used[other]]
            if others:
                findings.warn(
                    f"domain {domain}, labels", f"values {extra} do not occur in {', '.join(others[:5])}",
                    "if they mean the same structure, map them by label_map in dataset.yaml",
                )  # fmt: skip


def _check_ranges(domain: str, members: Sequence[CaseFacts], findings: Findings) -> None:
    if len(members) < LEAST_CASES:
        return
    ranges = np.array([max(one.high - one.low, 1e-12) for one in members])
    median = float(np.median(ranges))
    for one, width in zip(members, ranges, strict=True):
        if max(width / median, median / width) > RANGE_FACTOR:
            found = f"intensities from {one.low:g} to {one.high:g}, the median range of {domain} is {median:g}"
            findings.warn(f"case {one.case_id}, image", found, "look at the scan; another unit or a scaling is missing",
                          case_id=one.case_id)  # fmt: skip


def _check_volumes(domain: str, members: Sequence[CaseFacts], findings: Findings) -> None:
    for name in dict.fromkeys(name for one in members for name in one.volumes_ml):
        held = [(one, one.volumes_ml[name]) for one in members if one.volumes_ml.get(name)]
        if len(held) < LEAST_CASES:
            continue
        median = float(np.median([volume for _, volume in held]))
        for one, volume in held:
            if max(volume / median, median / volume) > VOLUME_FACTOR:
                found = f"{name} has {volume:.2f} ml, the median of {domain} is {median:.2f} ml"
                findings.warn(f"case {one.case_id}, label", found, "look at the label", case_id=one.case_id)


def _check_orientations(facts: Sequence[CaseFacts], findings: Findings) -> None:
    """Nothing to repair: scans are turned to closest RAS and masks back. Other tools do not do this."""
    codes: dict[str, int] = defaultdict(int)
    for one in facts:
        codes[one.axes] += 1
    if len(codes) > 1:
        listed = ", ".join(f"{count} {code}" for code, count in sorted(codes.items(), key=lambda item: -item[1]))
        findings.note("orientation", f"files are stored as {listed}", "handled here; other tools may mix them up")
    oblique = [one for one in facts if one.oblique_deg > OBLIQUE_DEG]
    if oblique:
        most = max(oblique, key=lambda one: one.oblique_deg)
        findings.note("orientation", f"{len(oblique)} oblique scans, up to {most.oblique_deg:.0f} degrees "
                      f"({most.case_id})", "kept as they are: nothing is rotated")  # fmt: skip
    left = [one.case_id for one in facts if one.left_handed]
    if left and len(left) < len(facts):
        findings.note(
            "orientation", f"{len(left)} left-handed files among {len(facts)}, first {left[0]}", "handled here"
        )


def _check_texts(facts: Sequence[CaseFacts], findings: Findings) -> None:
    """The text itself is not repeated: it may be somebody's name."""
    for one in facts:
        if one.text_fields:
            findings.warn(
                f"case {one.case_id}, header", f"text in {', '.join(one.text_fields)}: it may name somebody",
                "read it; `dgsweep data import --copy` writes files without", case_id=one.case_id,
            )  # fmt: skip
