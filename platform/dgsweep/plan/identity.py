"""What makes two trials, two cells or two scores the same."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from dgsweep.plan.case import CaseInfo
from dgsweep.plan.roles import TrialCases
from dgsweep.plan.trial import Preprocessing, content_id

_NOT_LEARNT_FROM = frozenset({"checkpoint_every", "unlabelled_batch"})
"""Training keys that change no number of the trained model, or not of all: `unlabelled_batch` enters by itself."""
_SCORED_WITH = ("tau_mm",)
"""Metric keys that a case's score depends on; the others belong to the tables."""


def train_fingerprint(cases: TrialCases, factors: tuple[str, ...]) -> str:
    """Hash of the content of the train and val cases and of unlabelled images: never of a path or a case id."""
    rows = [
        [role, case.domain(factors), _patient_hash(case), case.image_sha, case.label_sha]
        for role, members in (("train", cases.train), ("val", cases.val))
        for case in members
    ]
    rows += [["unlabelled", case.domain(factors), _patient_hash(case), case.image_sha, ""] for case in cases.unlabelled]
    return content_id(sorted(rows), length=64)


def image_fingerprint(cases: Sequence[CaseInfo], factors: tuple[str, ...]) -> str:
    """Hash of the content of some images and of their domains; labels do not enter."""
    rows = [[case.domain(factors), _patient_hash(case), case.image_sha] for case in cases]
    return content_id(sorted(rows), length=64)


def _patient_hash(case: CaseInfo) -> str:
    return hashlib.sha256(case.patient_id.encode()).hexdigest()


def grid_content(grid: Preprocessing) -> dict[str, Any]:
    """The grid as JSON, with the labels as pairs because their order numbers the classes."""
    return {**asdict(grid), "labels": [list(item) for item in grid.labels.items()]}


def cell_identity(identity: Mapping[str, Any], base_training: Mapping[str, Any]) -> str:
    """Id of a cell: its trials' identity without hyperparameters."""
    rest = {key: value for key, value in identity.items() if key not in {"hp", "training"}}
    return content_id({**rest, "training": learning_keys(base_training)})


def learning_keys(training: Mapping[str, Any]) -> dict[str, Any]:
    """The training section without the keys that change no number."""
    return {key: value for key, value in training.items() if key not in _NOT_LEARNT_FROM}


def score_fingerprints(
    cases: TrialCases, grid: Preprocessing, scoring: Mapping[str, Mapping[str, Any]], factors: tuple[str, ...]
) -> dict[str, str]:
    """Case id -> hash of what its row of scores depends on beside the trained model."""
    shared = {
        "labels": [list(item) for item in grid.labels.items()],
        "inference": dict(scoring["inference"]),
        "metrics": {key: scoring["metrics"][key] for key in _SCORED_WITH},
    }
    return {
        case.case_id: content_id([case.image_sha, case.label_sha, case.domain(factors), case.patient_id, shared])
        for case in cases.scored()
    }
