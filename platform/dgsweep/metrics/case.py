"""Scores of one case: every definition of the platform in one pass."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from dgsweep.metrics.masks import MaskPair, check_labelmaps, mask_pair
from dgsweep.metrics.overlap import Overlap
from dgsweep.metrics.surface import surface_distances
from dgsweep.metrics.surfel import nsd_surfel
from dgsweep.metrics.volume import volume_error, volume_ml


def score_case(
    pred: ArrayLike,
    ref: ArrayLike,
    spacing_mm: Sequence[float],
    tau_mm: float = 2.0,
    surfel_nsd: bool = False,
) -> dict[str, float]:
    """Score a binary prediction against a binary reference, both (x, y, z) on the same grid.

    Args:
        pred: prediction, values 0 and 1 of any real type.
        ref: reference, likewise.
        spacing_mm: voxel spacing x, y, z in millimetres.
        tau_mm: tolerance of the normalised surface distance (NSD) in millimetres.
        surfel_nsd: also return `nsd_surfel`, weighted by surface area.

    Returns:
        The columns of `dgsweep.metrics.METRIC_SPECS`, flags as 0.0 or 1.0. With one mask empty the overlaps and NSD are
        0, the distances are the diagonal of the image and `distance_penalised` is 1; with both empty the overlaps and
        NSD are 1 and the distances 0. Precision without prediction, and recall and volume error without reference, are
        NaN.

    Raises:
        InputError: the masks, the spacing or the tolerance cannot be used; it lists every reason.
    """
    pair = mask_pair(pred, ref, spacing_mm=spacing_mm, tau_mm=tau_mm)
    n_both = int(np.count_nonzero(pair.ref.flat[pair.pred.voxels]))
    overlap = Overlap(n_pred=pair.pred.voxels.size, n_ref=pair.ref.voxels.size, n_both=n_both)
    return {
        "dice": overlap.dice,
        "jaccard": overlap.jaccard,
        "precision": overlap.precision,
        "recall": overlap.recall,
        **_surface_scores(pair, tau_mm, surfel_nsd),
        "tau_mm": float(tau_mm),
        "volume_ml": volume_ml(overlap.n_pred, pair.spacing_mm),
        "volume_ref_ml": volume_ml(overlap.n_ref, pair.spacing_mm),
        "volume_error": volume_error(overlap.n_pred, overlap.n_ref),
        "distance_penalised": float((overlap.n_pred == 0) != (overlap.n_ref == 0)),
        "empty_prediction": float(overlap.n_pred == 0),
        "empty_reference": float(overlap.n_ref == 0),
    }


def score_labels(
    pred_labelmap: ArrayLike,
    ref_labelmap: ArrayLike,
    labels: Mapping[str, int],
    spacing_mm: Sequence[float],
    tau_mm: float = 2.0,
) -> list[dict[str, float | str]]:
    """Score each structure of two label maps (x, y, z) on the same grid; values not in `labels` count as background.

    Args:
        pred_labelmap: prediction, whole numbers of any real type.
        ref_labelmap: reference, likewise.
        labels: value in the label maps of each structure, by name.
        spacing_mm: voxel spacing x, y, z in millimetres.
        tau_mm: tolerance of the normalised surface distance in millimetres.

    Returns:
        One dictionary a structure, in the order of `labels`: `label` (its name) and the scores of `score_case`.

    Raises:
        InputError: the label maps, the structures, the spacing or the tolerance cannot be used.
    """
    pred, ref = np.asarray(pred_labelmap), np.asarray(ref_labelmap)
    check_labelmaps(pred, ref, labels, spacing_mm=spacing_mm, tau_mm=tau_mm)
    return [
        {"label": name, **score_case(np.equal(pred, value), np.equal(ref, value), spacing_mm, tau_mm)}
        for name, value in labels.items()
    ]


def _surface_scores(pair: MaskPair, tau_mm: float, surfel_nsd: bool) -> dict[str, float]:
    if not (pair.pred.voxels.size and pair.ref.voxels.size):
        return _surface_scores_of_empty(pair, surfel_nsd)
    distances = surface_distances(pair)
    scores = {
        "hd95_mm": distances.hd95_mm,
        "hd95_pooled_mm": distances.hd95_pooled_mm,
        "assd_mm": distances.assd_mm,
        "nsd": distances.within(tau_mm),
    }
    return {**scores, "nsd_surfel": nsd_surfel(pair, tau_mm)} if surfel_nsd else scores


def _surface_scores_of_empty(pair: MaskPair, surfel_nsd: bool) -> dict[str, float]:
    both_empty = pair.pred.voxels.size == pair.ref.voxels.size
    distance_mm, nsd = (0.0, 1.0) if both_empty else (pair.diagonal_mm, 0.0)
    scores = {**dict.fromkeys(("hd95_mm", "hd95_pooled_mm", "assd_mm"), distance_mm), "nsd": nsd}
    return {**scores, "nsd_surfel": nsd} if surfel_nsd else scores
