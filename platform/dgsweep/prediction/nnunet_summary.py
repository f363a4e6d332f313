"""nnU-Net's summary.json, as its evaluate_predictions writes it, so that its users' scripts read our scores."""

import math
from collections.abc import Mapping
from statistics import fmean
from typing import Any

from dgsweep.prediction.score import Counts, FolderScores, Pair

_COUNTS = ("TP", "FP", "FN", "TN", "n_pred", "n_ref")


def nnunet_summary(scores: FolderScores) -> dict[str, Any]:
    """`metric_per_case`, `mean` and `foreground_mean` with Dice, IoU and voxel counts; keys are label values.

    Dice and IoU of a structure that is in neither mask are NaN there and left out of its mean, as nnU-Net does
    (nnunetv2/evaluation/evaluate_predictions.py); in cases.parquet they are 1.
    """
    structures = scores.structures
    cases = [_case(pair, counts, structures) for pair, counts in scores.counts]
    mean = {
        str(value): {
            metric: _known_mean([case["metrics"][str(value)][metric] for case in cases])
            for metric in ("Dice", "IoU", *_COUNTS)
        }
        for value in structures.values()
    }
    foreground = {metric: fmean([one[metric] for one in mean.values()]) for metric in next(iter(mean.values()), {})}
    return {"foreground_mean": foreground, "mean": mean, "metric_per_case": cases}


def _case(pair: Pair, counts: Mapping[str, Counts], structures: Mapping[str, int]) -> dict[str, Any]:
    metrics = {str(value): _metrics(counts[name]) for name, value in structures.items()}
    return {"reference_file": pair.reference.name, "prediction_file": pair.prediction.name, "metrics": metrics}


def _metrics(count: Counts) -> dict[str, float]:
    n_pred, n_ref, both = count.n_pred, count.n_ref, count.n_both
    either = n_pred + n_ref - both
    dice, iou = (2 * both / (n_pred + n_ref), both / either) if either else (math.nan, math.nan)
    counts = {"TP": both, "FP": n_pred - both, "FN": n_ref - both, "TN": count.n_all - either}
    return {"Dice": dice, "IoU": iou, **counts, "n_pred": n_pred, "n_ref": n_ref}


def _known_mean(values: list[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return fmean(known) if known else math.nan
