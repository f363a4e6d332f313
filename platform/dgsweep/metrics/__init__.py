"""Scores of a segmentation: overlap, surface distance, volume, agreement. numpy and scipy only."""

from dgsweep.metrics.case import score_case, score_labels
from dgsweep.metrics.spec import METRIC_NAMES, METRIC_SPECS, NSD_SURFEL_SPEC, MetricSpec, metric_spec
from dgsweep.metrics.volume import Agreement, volume_agreement, volume_error, volume_ml

__all__ = [
    "METRIC_NAMES",
    "METRIC_SPECS",
    "NSD_SURFEL_SPEC",
    "Agreement",
    "MetricSpec",
    "metric_spec",
    "score_case",
    "score_labels",
    "volume_agreement",
    "volume_error",
    "volume_ml",
]
