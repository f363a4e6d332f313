"""Controls beside the methods, for the page."""

from collections.abc import Mapping

import pandas as pd

from dgsweep.analysis.controls import chosen_cases, control_table
from dgsweep.plan.trial import CEILING, SHUFFLED
from dgsweep.report.blocks import Section, Table, numbers_of, present, table, with_interval, words_of
from dgsweep.report.evidence import Evidence

NOTES = (
    "Controls are plain ERM with its defaults; they are no methods of the comparison, and no rule chooses among them.",
    "Ceiling: trained on the target domain's own training patients, tested on its test patients. It knows the target's "
    "labels, so it is what one could hope for with as many labelled scans as that domain has, and not a bound: a "
    "method with more source scans may pass it.",
    "Shuffled labels: every training scan has the label of another patient, so only where the structure usually lies "
    "can be learnt. ERM must lie clearly above it; if it does not, Dice rewards position alone, or patients leaked.",
)


def control_tables(evidence: Evidence) -> dict[str, pd.DataFrame]:
    """CSV name -> table; nothing where the sweep asks for no control."""
    if not any((evidence.plan.config.get("controls") or {}).values()):
        return {}
    chosen = chosen_cases(evidence.plan, evidence.cases, evidence.curves)
    return {"controls": control_table(evidence.cases, evidence.plan, chosen, bootstrap=evidence.bootstrap)}


def control_sections(tables: Mapping[str, pd.DataFrame]) -> list[Section]:
    """The section, where `tables` (CSV name -> table) hold what `control_tables` found."""
    return [
        Section(
            key="controls",
            title="Controls",
            notes=NOTES,
            tables=present(
                _rows(found[found["kind"] == CEILING], "Ceilings", "Target domain"),
                _rows(found[found["kind"] == SHUFFLED], "Shuffled labels", "Sources"),
            ),
            nothing="No control has been scored yet.",
        )
        for found in present(tables.get("controls"))
    ]


def _rows(found: pd.DataFrame, caption: str, where: str) -> Table | None:
    roles = {"in_domain": " (in-domain)", "target": " (targets)"} if where == "Sources" else {}
    return table(
        caption,
        {
            where: [f"{row.where}{roles.get(str(row.role), '')}" for row in found.itertuples()],
            "Network": words_of(found, "network"),
            "Control": with_interval(found, ("control", "control_low", "control_high")),
            "Method": [name or "none on the same cases" for name in words_of(found, "arm")],
            "Dice": numbers_of(found, "method"),
            "Method minus control": with_interval(found, ("difference", "difference_low", "difference_high")),
            "Patients / cases": [f"{row.patients} / {row.cases}" for row in found.itertuples()],
        },
        text=("Network", "Method"),
    )
