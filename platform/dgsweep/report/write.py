"""Write the report: one page that opens anywhere without a network, and its tables as CSV beside it."""

import pandas as pd

from dgsweep.report.control_section import control_tables
from dgsweep.report.evidence import Evidence, read_evidence
from dgsweep.report.page import render
from dgsweep.report.panels import Panel, panels
from dgsweep.report.totals import cost_table
from dgsweep.storage.files import write_bytes
from dgsweep.storage.place import AnyPath, place


def write_report(output: AnyPath, *, images: bool = True, to: AnyPath | None = None) -> AnyPath:
    """Write `report.html` and `tables/*.csv` from the ledger into `to`, or `<output>/report`; the page's path.

    With `images` False no picture of a patient enters the page.

    Raises:
        InputError: there is no sweep under `output`.
    """
    evidence = read_evidence(place(output))
    found = panels(evidence)
    folder = place(output) / "report" if to is None else to
    for name, table in csv_tables(evidence, found).items():
        write_bytes(folder / "tables" / f"{name}.csv", table.to_csv(index=False, lineterminator="\n").encode())
    page = folder / "report.html"
    write_bytes(page, render(evidence, found, images=images).encode())
    return page


def csv_tables(evidence: Evidence, found: list[Panel]) -> dict[str, pd.DataFrame]:
    """File name -> table, as the page shows them but with every digit."""
    kinds = tuple(_CSV_NAMES)
    tables = {_CSV_NAMES[kind]: _joined(found, kind) for kind in kinds}
    return (
        tables
        | _statistics(found)
        | control_tables(evidence)
        | {
            "trials": evidence.states,
            "cases": evidence.cases,
            "curves": evidence.curves,
            "costs": cost_table(evidence),
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
