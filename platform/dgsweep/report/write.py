"""Write the report: one page that opens anywhere without a network, and its tables as CSV beside it."""

from pathlib import Path

import pandas as pd

from dgsweep.records.atomic import write_bytes
from dgsweep.report.evidence import Evidence, read_evidence
from dgsweep.report.page import render
from dgsweep.report.panels import Panel, panels
from dgsweep.report.totals import cost_table


def write_report(output: Path, *, images: bool = True) -> Path:
    """Write `<output>/report/report.html` and `<output>/report/tables/*.csv` from the ledger; the page's path.

    With `images` False no picture of a patient enters the page.

    Raises:
        InputError: there is no sweep under `output`.
    """
    evidence = read_evidence(Path(output))
    found = panels(evidence)
    folder = Path(output) / "report"
    for name, table in csv_tables(evidence, found).items():
        write_bytes(folder / "tables" / f"{name}.csv", table.to_csv(index=False, lineterminator="\n").encode())
    page = folder / "report.html"
    write_bytes(page, render(evidence, found, images=images).encode())
    return page


def csv_tables(evidence: Evidence, found: list[Panel]) -> dict[str, pd.DataFrame]:
    """File name -> table, as the page shows them but with every digit."""
    kinds = tuple(_CSV_NAMES)
    tables = {_CSV_NAMES[kind]: _joined(found, kind) for kind in kinds}
    return tables | {
        "trials": evidence.states,
        "cases": evidence.cases,
        "curves": evidence.curves,
        "costs": cost_table(evidence),
    }


_CSV_NAMES = {
    "by_sequence": "matrix_by_sequence",
    "by_domain": "matrix_by_domain",
    "table": "method_by_shift",
    "summary": "method_summary",
    "metrics": "matrix_all_metrics",
    "distances": "distances",
    "empty": "empty_references",
}


def _joined(found: list[Panel], kind: str) -> pd.DataFrame:
    parts = [getattr(panel, kind).assign(rule=panel.rule) for panel in found]
    filled = [part for part in parts if len(part)]
    return pd.concat(filled, ignore_index=True) if filled else pd.DataFrame(columns=["panel", "rule"])
