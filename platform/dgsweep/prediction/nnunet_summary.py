"""nnU-Net's summary.json, as its evaluate_predictions writes it, so that its users' scripts read our scores."""

import math
from collections.abc import Mapping
from statistics import fmean
from typing import Any

import numpy as np
import numpy.typing as npt

from dgsweep.data.geometry import read_label
from dgsweep.data.nifti import read_header
from dgsweep.prediction.score import FolderScores, Pair

_COUNTS = ("TP", "FP", "FN", "TN", "n_pred", "n_ref")


def nnunet_summary(scores: FolderScores) -> dict[str, Any]:
    """`metric_per_case`, `mean` and `foreground_mean` with Dice, IoU and voxel counts; keys are label values.

    Dice and IoU of a structure that is in neither mask are NaN there and left out of its mean, as nnU-Net does
    (nnunetv2/evaluation/evaluate_predictions.py); in cases.parquet they are 1.
    """
    structures = scores.structures
    scored = set(scores.cases["case_id"])
    cases = [_case(pair, structures) for pair in scores.pairs if pair.case_id in scored]
    mean = {
        str(value): {
            metric: _known_mean([case["metrics"][str(value)][metric] for case in cases])
            for metric in ("Dice", "IoU", *_COUNTS)
        }
        for value in structures.values()
    }
    foreground = {metric: fmean([one[metric] for one in mean.values()]) for metric in next(iter(mean.values()), {})}
    return {"foreground_mean": foreground, "mean": mean, "metric_per_case": cases}


def _case(pair: Pair, structures: Mapping[str, int]) -> dict[str, Any]:
    native = read_header(pair.reference)[0]
    reference, predicted = read_label(pair.reference, native), read_label(pair.prediction, native)
    metrics = {
        str(value): _counts(predicted == value, reference == pair.values.get(name, value))
        for name, value in structures.items()
    }
    return {"reference_file": pair.reference.name, "prediction_file": pair.prediction.name, "metrics": metrics}


def _counts(predicted: npt.NDArray[np.bool_], reference: npt.NDArray[np.bool_]) -> dict[str, float]:
    n_pred, n_ref = int(predicted.sum()), int(reference.sum())
    both = int((predicted & reference).sum())
    either = n_pred + n_ref - both
    counts = {"TP": both, "FP": n_pred - both, "FN": n_ref - both, "TN": predicted.size - either}
    overlaps = (
        {"Dice": 2 * both / (n_pred + n_ref), "IoU": both / either}
        if either
        else dict.fromkeys(("Dice", "IoU"), math.nan)
    )
    return {**overlaps, **counts, "n_pred": n_pred, "n_ref": n_ref}


def _known_mean(values: list[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return fmean(known) if known else math.nan
