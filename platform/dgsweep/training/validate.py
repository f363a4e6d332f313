"""Source validation: Dice of whole val cases on the working grid. Labels of targets never come here."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import nn

from dgsweep.data.cache import CachedCase
from dgsweep.method.context import Context
from dgsweep.plan.trial import TrialSpec
from dgsweep.training.inference import predict_probabilities
from dgsweep.training.runtime import Runtime


def source_validation(
    ctx: Context,
    spec: TrialSpec,
    cases: Sequence[CachedCase],
    runtime: Runtime,
    network: nn.Module | None = None,
) -> dict[str, float]:
    """Mean foreground Dice per source domain, and over domains under the key `all`; {} without val cases.

    Given a network, it is judged instead of the one whose predictions count.

    Test-time training is left to the scoring of the record: here it would cost minutes a case at each point of a curve.
    """
    mine = [(case.domain, _case_dice(ctx, spec, case, network)) for case in runtime.share(list(cases))]
    by_domain: dict[str, list[float]] = defaultdict(list)
    for domain, dice in sorted(runtime.gather(mine)):
        by_domain[domain].append(dice)
    means = {domain: float(np.mean(values)) for domain, values in by_domain.items()}
    return {**means, "all": float(np.mean(list(means.values())))} if means else {}


def _case_dice(ctx: Context, spec: TrialSpec, case: CachedCase, network: nn.Module | None) -> float:
    image = torch.from_numpy(np.array(case.image))[None]
    patch, inference = spec.preprocessing.patch, spec.inference
    found = predict_probabilities(ctx, image, patch, inference, adapt=False, network=network)
    predicted = found.argmax(dim=0).cpu().numpy()
    reference = np.asarray(case.label)
    classes = range(1, len(spec.preprocessing.labels) + 1)
    return float(np.mean([_dice(np.equal(predicted, k), np.equal(reference, k)) for k in classes]))


def _dice(predicted: np.ndarray, reference: np.ndarray) -> float:
    total = int(predicted.sum()) + int(reference.sum())
    return 2.0 * int((predicted & reference).sum()) / total if total else 1.0


def score_line(scores: Mapping[str, float]) -> dict[str, float]:
    """What is reported while a trial runs."""
    return {"metric/source_val_dice": scores["all"]} if scores else {}
