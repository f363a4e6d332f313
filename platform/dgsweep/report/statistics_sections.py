"""The sections of statistics of a page: those of the main panel, and those of the others folded away."""

from dgsweep.report.blocks import Section
from dgsweep.report.evidence import Evidence
from dgsweep.report.panels import Panel
from dgsweep.report.rank_section import rank_section
from dgsweep.report.shift_section import shift_section
from dgsweep.report.variance_section import variance_section
from dgsweep.report.volume_section import volume_section

SECTIONS = (rank_section, shift_section, variance_section, volume_section)


def statistics_sections(panel: Panel, evidence: Evidence) -> list[Section]:
    """Every section of one panel, in order."""
    return [section(panel, evidence) for section in SECTIONS]
