"""What lies beside the page as files."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Written:
    """Names of the files beside the page."""

    latex: tuple[str, ...] = ()
    """Of tables, without `.tex`."""
    figures: tuple[tuple[str, str], ...] = ()
    """(key, title) of figures, without `.svg`."""
    missing: str = ""
    """Why there are no figures, and what to do."""


NOTHING_WRITTEN = Written()
