"""The pictures of the page: what is drawn, and what the 3D view needs where any case can be opened in it."""

from dataclasses import dataclass

from dgsweep.report.evidence import Evidence
from dgsweep.report.overlays import Overlay, overlays
from dgsweep.report.panels import Panel
from dgsweep.report.scenes import MARGIN_MM, MOST_KB_A_CASE, MOST_KB_A_PAGE, library, licences

LEFT_OUT = "Left out on request: this page holds no picture of a patient."


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """Pictures by domain. `library` is '' where no case can be opened in 3D: then the page carries no viewer."""

    by_domain: dict[str, list[Overlay]]
    note: str
    library: str = ""
    licences: str = ""
    limits: str = ""


def pictures(evidence: Evidence, main: Panel | None, *, images: bool) -> Pictures:
    """Pictures of the main panel."""
    if not images:
        return Pictures(by_domain={}, note=LEFT_OUT)
    if main is None:
        return Pictures(by_domain={}, note="No case has been scored yet.")
    drawn, note = overlays(main.rows[main.rows["role"].isin(["in_domain", "target"])], evidence)
    by_domain: dict[str, list[Overlay]] = {}
    for picture in drawn:
        by_domain.setdefault(picture.domain, []).append(picture)
    if not any(picture.scene for picture in drawn):
        return Pictures(by_domain=by_domain, note=note)
    limits = (
        f"A 3D view holds the box around reference and prediction and {MARGIN_MM:g} mm beside it, in at most "
        f"{MOST_KB_A_CASE} kB a case and {MOST_KB_A_PAGE // 1000} MB a page; voxels are averaged to fit."
    )
    return Pictures(by_domain=by_domain, note=note, library=library(), licences=licences(), limits=limits)
