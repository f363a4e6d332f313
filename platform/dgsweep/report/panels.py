"""One panel: the rows of one selection rule that may stand beside each other, with their tables and words."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from dgsweep.analysis.frames import Level, annotate, case_values, over_repeats, with_targets
from dgsweep.analysis.selection import rows_of, select
from dgsweep.analysis.tables import (
    distance_table,
    empty_references,
    matrix,
    method_summary,
    method_table,
    metric_matrix,
)
from dgsweep.analysis.verdict import Verdict, judge
from dgsweep.report.evidence import Evidence
from dgsweep.report.statistics_tables import statistics_of

DISTANCES = ("hd95_mm", "hd95_pooled_mm", "assd_mm")
OVERLAP = ("dice", "jaccard", "precision", "recall", "nsd", "volume_error")
WARNING = {
    "oracle": "Oracle: the target's labels took part in the choice, or in what a method started from. They are an "
    "upper bound and must not be set beside the main panel.",
    "transductive": "Transductive: these methods saw unlabelled target scans, which the main panel's methods did not.",
}
RULE_MEANING = {
    "source_val": "trial with the best Dice on source-validation cases",
    "inner_leave_one_domain_out": "trial with the best Dice on source domains that were left out of its training",
    "last": "default hyperparameters (trial 0), last step",
    "oracle_target": "trial with the best Dice on the target's own test cases",
}


@dataclass(frozen=True, kw_only=True)
class Panel:
    """Tables of one rule and panel. `rows` are its annotated case rows."""

    rule: str
    name: str
    warning: str
    rows: pd.DataFrame
    by_sequence: pd.DataFrame
    by_domain: pd.DataFrame
    table: pd.DataFrame
    summary: pd.DataFrame
    metrics: pd.DataFrame
    distances: pd.DataFrame
    empty: pd.DataFrame
    verdicts: tuple[Verdict, ...]
    selected: frozenset[str]
    statistics: Mapping[str, pd.DataFrame]
    """CSV name -> table, of `statistics_tables`."""

    @property
    def key(self) -> str:
        """Name that no other panel of the page has."""
        return f"{self.name}-{self.rule}"

    @property
    def title(self) -> str:
        """Heading."""
        return f"{self.name}, chosen by {self.rule}"


def panels(evidence: Evidence) -> list[Panel]:
    """Every panel that has rows; the main one of the first rule that looks at no target label comes first."""
    rules = sorted(evidence.rules, key=lambda rule: rule.startswith("oracle_"))
    found = [panel for rule in rules for panel in _panels_of(rule, evidence)]
    return sorted(found, key=lambda panel: panel.name != "main")


def case_dice(panel: Panel, level: Level) -> pd.DataFrame:
    """One row per case with its mean Dice over folds and seeds, its target column, center and sequence."""
    values = over_repeats(with_targets(case_values(panel.rows, "dice"), level))
    places = panel.rows.drop_duplicates("case_id").set_index("case_id")[["center", "sequence"]]
    return values.join(places, on="case_id")


def _panels_of(rule: str, evidence: Evidence) -> list[Panel]:
    chosen = frozenset(select(rule, evidence.plan, evidence.cases, evidence.curves).values())
    cases = rows_of(rule, chosen, evidence.cases)
    names = [name for name in ("main", "transductive", "oracle") if (cases["panel"] == name).any()]
    if not names:
        return []
    # ERM stands in the main panel, so comparisons are made over all panels of the rule and then told apart.
    every = _tables(cases, evidence)
    verdicts = judge(cases, evidence.plan, by=evidence.level, bootstrap=evidence.bootstrap)
    rows = annotate(cases, evidence.plan)
    return [
        Panel(
            rule=rule,
            name=name,
            warning=WARNING.get(name, ""),
            rows=rows[rows["panel"] == name],
            verdicts=tuple(verdict for verdict in verdicts if verdict.panel == name),
            selected=chosen,
            statistics=statistics_of(rows[rows["panel"] == name], evidence),
            **{key: table[table["panel"] == name].reset_index(drop=True) for key, table in every.items()},
        )
        for name in names
    ]


def _tables(cases: pd.DataFrame, evidence: Evidence) -> dict[str, pd.DataFrame]:
    plan, level, draws = evidence.plan, evidence.level, evidence.bootstrap
    return {
        "by_sequence": matrix(cases, plan, bootstrap=draws),
        "by_domain": matrix(cases, plan, by="domain", bootstrap=draws),
        "table": method_table(cases, plan, by=level, bootstrap=draws),
        "summary": method_summary(cases, plan, bootstrap=draws),
        "metrics": metric_matrix(cases, plan, metrics=OVERLAP, by=level, bootstrap=draws),
        "distances": distance_table(cases, plan, metrics=DISTANCES, by=level, bootstrap=draws),
        "empty": empty_references(cases, plan),
    }
