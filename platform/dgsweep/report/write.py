"""Write the report: one page that opens anywhere without a network; its tables and figures as files beside it."""

from collections.abc import Mapping

import pandas as pd

from dgsweep.analysis.reference import read_paper
from dgsweep.report.against import Against, against
from dgsweep.report.control_section import control_tables
from dgsweep.report.cost_quality import cost_and_quality
from dgsweep.report.csv_text import long_csv
from dgsweep.report.evidence import Evidence, read_evidence
from dgsweep.report.figures import Figure
from dgsweep.report.files import Written
from dgsweep.report.latex import latex_tables
from dgsweep.report.network_times import network_table
from dgsweep.report.observers import observer_tables
from dgsweep.report.page import main_panel, page_figures, render
from dgsweep.report.panels import Panel, panels
from dgsweep.report.searched import Searched, searched, searched_table
from dgsweep.report.static import matrix_figures, write_svgs
from dgsweep.report.totals import cost_table
from dgsweep.storage.files import write_bytes
from dgsweep.storage.place import AnyPath, place

LONG = ("cases", "curves")
"""Tables that grow with every trial and case."""


def write_report(
    output: AnyPath,
    *,
    images: bool = True,
    to: AnyPath | None = None,
    beside: str | None = None,
    figures: bool = False,
    evidence: Evidence | None = None,
) -> AnyPath:
    """Write `report.html`, `tables/*.csv` and `tables/*.tex` into `to`, or `<output>/report`; the page's path.

    With `images` False no picture of a patient enters the page. `beside` is a paper of `analysis.reference` whose
    numbers are to stand beside ours. With `figures` the figures are written as `figures/*.svg`, too, which starts a
    browser; where there is none, the page and `figures/MISSING.txt` say so. `evidence` is what lies in `output`, where
    somebody has read it.

    Raises:
        InputError: there is no sweep under `output`, or no such paper.
    """
    paper = read_paper(beside) if beside is not None else None
    evidence = evidence or read_evidence(place(output))
    found = panels(evidence)
    compared = against(paper, evidence, found) if paper is not None else None
    folder = place(output) / "report" if to is None else to
    tried = searched(evidence)
    tables = csv_tables(evidence, found) | {"searched": searched_table(tried)}
    if compared is not None:
        tables[f"against_{compared.paper.name}"] = compared.table
    for name, table in tables.items():
        content = long_csv(table) if name in LONG else table.to_csv(index=False, lineterminator="\n").encode()
        write_bytes(folder / "tables" / f"{name}.csv", content)
    drawn = _figures(evidence, found, compared, tried, tables) if figures else []
    written = _write_for_papers(latex_tables(evidence, found, compared), drawn, folder)
    page = folder / "report.html"
    text = render(evidence, found, images=images, beside=compared, written=written, tried=tried, tables=tables)
    write_bytes(page, text.encode())
    return page


def _write_for_papers(latex: Mapping[str, str], drawn: list[tuple[Figure, int]], folder: AnyPath) -> Written:
    """LaTeX tables, and the figures that were asked for as SVG."""
    for name, text in latex.items():
        write_bytes(folder / "tables" / f"{name}.tex", text.encode())
    missing = write_svgs(drawn, folder / "figures") if drawn else ""
    names = () if missing else tuple((figure.key, figure.title) for figure, _ in drawn)
    return Written(latex=tuple(latex), figures=names, missing=missing)


def _figures(
    evidence: Evidence,
    found: list[Panel],
    compared: Against | None,
    tried: Searched,
    tables: Mapping[str, pd.DataFrame],
) -> list[tuple[Figure, int]]:
    """Every figure of the report, with its number of rows where its height follows them."""
    matrices = matrix_figures(found, evidence.level, several_networks=evidence.several_networks)
    plain = [(figure, 0) for figure in page_figures(evidence, found, tables)]
    plain += [(figure, 0) for cell in tried.cells for figure in cell.figures]
    return [*matrices, *plain, *(compared.figures if compared is not None else ())]


def csv_tables(evidence: Evidence, found: list[Panel]) -> dict[str, pd.DataFrame]:
    """File name -> table, as the page shows them but with every digit."""
    kinds = tuple(_CSV_NAMES)
    tables = {_CSV_NAMES[kind]: _joined(found, kind) for kind in kinds}
    return (
        tables
        | _statistics(found)
        | control_tables(evidence)
        | observer_tables(evidence.observers, evidence.bootstrap)
        | {
            "trials": evidence.states,
            "cases": evidence.cases,
            "curves": evidence.curves,
            "costs": cost_table(evidence),
            "networks": network_table(evidence),
            "cost_and_quality": cost_and_quality(evidence, main_panel(found)),
        }
    )


_CSV_NAMES = {
    "by_sequence": "matrix_by_sequence",
    "by_domain": "matrix_by_domain",
    "table": "method_by_shift",
    "summary": "method_summary",
    "metrics": "matrix_all_metrics",
    "distances": "distances",
    "empty": "empty_references",
}


def _statistics(found: list[Panel]) -> dict[str, pd.DataFrame]:
    names = dict.fromkeys(name for panel in found for name in panel.statistics)
    return {
        name: _below([panel.statistics[name].assign(rule=panel.rule) for panel in found if name in panel.statistics])
        for name in names
    }


def _joined(found: list[Panel], kind: str) -> pd.DataFrame:
    return _below([getattr(panel, kind).assign(rule=panel.rule) for panel in found])


def _below(parts: list[pd.DataFrame]) -> pd.DataFrame:
    filled = [part for part in parts if len(part)]
    return pd.concat(filled, ignore_index=True) if filled else pd.DataFrame(columns=["panel", "rule"])
