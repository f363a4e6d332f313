"""The negative control: training scans with labels of other patients."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from dgsweep.data.cache import CachedCase

Label = npt.NDArray[np.uint8]


def with_labels_of_others(cases: Sequence[CachedCase], labels_from: Mapping[str, str]) -> Sequence[CachedCase]:
    """Cases with the labels that `labels_from` (case id -> case id) names; as they are where it is empty.

    A label of another size is centred on its new scan: what sticks out is cut off, what is missing is background.
    """
    if not labels_from:
        return cases
    known = {case.case_id: case.label for case in cases}
    return [_given(case, known[labels_from[case.case_id]]) for case in cases]


def _given(case: CachedCase, label: Label | None) -> CachedCase:
    if label is None:
        return case
    fitted = centred(label, case.image.shape)
    found = {int(k): np.flatnonzero(fitted == k) for k in np.unique(fitted) if k}
    return replace(case, label=fitted, foreground=found)


def centred(label: Label, shape: tuple[int, ...]) -> Label:
    """The label (x, y, z) cut and filled with background to `shape`, its middle in the middle."""
    fitted: Label = np.zeros(shape, dtype=label.dtype)
    into, out = [], []
    for have, want in zip(label.shape, shape, strict=True):
        size = min(have, want)
        into.append(slice((want - size) // 2, (want - size) // 2 + size))
        out.append(slice((have - size) // 2, (have - size) // 2 + size))
    fitted[tuple(into)] = label[tuple(out)]
    return fitted
