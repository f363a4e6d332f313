"""The sections of statistics of a page: those of the main panel, and those of the others folded away."""

from dgsweep.report.blocks import Section
from dgsweep.report.evidence import Evidence
from dgsweep.report.panels import Panel
from dgsweep.report.rank_section import rank_section

SECTIONS = (rank_section,)


def statistics_sections(panel: Panel, evidence: Evidence) -> list[Section]:
    """Every section of one panel, in order."""
    return [section(panel, evidence) for section in SECTIONS]
