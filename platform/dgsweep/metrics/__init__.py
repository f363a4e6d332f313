"""Scores of a segmentation: overlap, surface distance, volume, agreement. numpy and scipy only."""

from dgsweep.metrics.case import score_case, score_labels
from dgsweep.metrics.kappa import cohen_kappa, fleiss_kappa, voxel_kappa
from dgsweep.metrics.spec import METRIC_NAMES, METRIC_SPECS, NSD_SURFEL_SPEC, MetricSpec, metric_spec
from dgsweep.metrics.volume import Agreement, volume_agreement, volume_error, volume_ml

__all__ = [
    "METRIC_NAMES",
    "METRIC_SPECS",
    "NSD_SURFEL_SPEC",
    "Agreement",
    "MetricSpec",
    "cohen_kappa",
    "fleiss_kappa",
    "metric_spec",
    "score_case",
    "score_labels",
    "volume_agreement",
    "volume_error",
    "volume_ml",
    "voxel_kappa",
]
