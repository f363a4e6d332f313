"""The statistics of one panel as tables: what its sections show and what the CSV files hold with every digit."""

import pandas as pd

from dgsweep.analysis.ranks import rank_table
from dgsweep.analysis.robustness import generalization_gap, robustness_table
from dgsweep.analysis.shift import sampling_variance, source_and_target, source_target_correlation
from dgsweep.analysis.shift_kinds import shift_kinds
from dgsweep.analysis.variance import variance_components
from dgsweep.analysis.volumes import volume_table
from dgsweep.report.evidence import Evidence


def statistics_of(rows: pd.DataFrame, evidence: Evidence) -> dict[str, pd.DataFrame]:
    """CSV name -> table, from the case rows of one panel."""
    plan, draws = evidence.plan, evidence.bootstrap
    return {
        "ranks": rank_table(rows, plan, bootstrap=draws),
        "robustness": robustness_table(rows, plan, bootstrap=draws),
        "generalization_gap": generalization_gap(rows, plan, bootstrap=draws),
        "sampling_variance": sampling_variance(rows, plan, by=evidence.level, bootstrap=draws),
        "source_and_target": source_and_target(rows, plan),
        "source_target_correlation": source_target_correlation(rows, plan, bootstrap=draws),
        "cross_center_and_cross_sequence": shift_kinds(rows, plan, bootstrap=draws),
        "variance_components": variance_components(_every_trial(rows, evidence), plan, by=evidence.level),
        "volumes": volume_table(rows, plan, by=evidence.level, bootstrap=draws),
    }


def _every_trial(rows: pd.DataFrame, evidence: Evidence) -> pd.DataFrame:
    """Rows of every finished trial of the panel, chosen or not."""
    return evidence.cases[evidence.cases["panel"].isin(rows["panel"].unique())]
