"""The statistics of one panel as tables: what its sections show and what the CSV files hold with every digit."""

import pandas as pd

from dgsweep.analysis.ranks import rank_table
from dgsweep.analysis.robustness import generalization_gap, robustness_table
from dgsweep.report.evidence import Evidence


def statistics_of(rows: pd.DataFrame, evidence: Evidence) -> dict[str, pd.DataFrame]:
    """CSV name -> table, from the case rows of one panel."""
    plan, draws = evidence.plan, evidence.bootstrap
    return {
        "ranks": rank_table(rows, plan, bootstrap=draws),
        "robustness": robustness_table(rows, plan, bootstrap=draws),
        "generalization_gap": generalization_gap(rows, plan, bootstrap=draws),
    }
