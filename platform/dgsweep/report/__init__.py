"""Figures (plotly), the self-contained page, and CSV; reads records only."""

from dgsweep.report.write import write_report

__all__ = ["write_report"]
