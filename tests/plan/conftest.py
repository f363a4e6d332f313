"""A made-up data set, method and network, as the planner sees them."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from optuna.distributions import FloatDistribution

from dgsweep.config.declaration import Hyperparameter, MethodDeclaration, NetworkDeclaration, Requires
from dgsweep.config.schema import SweepConfig
from dgsweep.config.search_space import SearchSpace
from dgsweep.plan.build import build_plan
from dgsweep.plan.case import CaseInfo
from dgsweep.plan.existing import Existing, KnownWeights
from dgsweep.plan.given import GivenTrial
from dgsweep.plan.trial import Plan

SEQUENCES = ("OOP", "T1W", "T2W")


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def case(patient: str, center: str, sequence: str, **changes: Any) -> CaseInfo:
    name = f"{patient}-{sequence}"
    fields: dict[str, Any] = {
        "case_id": name,
        "patient_id": patient,
        "center": center,
        "sequence": sequence,
        "labelled": True,
        "image_sha": sha(f"image {name}"),
        "label_sha": sha(f"label {name}"),
        "shape": (96, 80, 48),
        "spacing_mm": (3.0, 3.0, 3.0),
    }
    return CaseInfo(**{**fields, **changes})


def data_set(patients: int = 12, centers: int = 4, sequences: Sequence[str] = SEQUENCES) -> list[CaseInfo]:
    return [
        case(f"c{center}p{index}", f"C{center}", sequence)
        for center in range(1, centers + 1)
        for index in range(patients)
        for sequence in sequences
    ]


def method(name: str, **changes: Any) -> MethodDeclaration:
    return MethodDeclaration(name=name, recipe_version=1, summary="", implementation="a:B", **changes)


def network(name: str, **changes: Any) -> NetworkDeclaration:
    return NetworkDeclaration(name=name, recipe_version=1, summary="", implementation="a:b", **changes)


METHODS = {
    "erm": method("erm"),
    "mix": method(
        "mix",
        hyperparameters={
            "alpha": Hyperparameter(default=0.2, low=0.0, high=1.0),
            "layers": Hyperparameter(default=3, low=1, high=8),
        },
    ),
    "pair": method("pair", requires=Requires(min_source_domains=2)),
    "norms": method("norms", requires=Requires(affine_norms=True)),
    "noise": method("noise", requires=Requires(denoiser=True)),
    "both": method("both", variants=("paper", "as_shipped")),
}
NETWORKS = {
    "nnunet": network("nnunet", patch_multiple=(16, 16, 8)),
    "tiny": network("tiny", patch_multiple=(4, 4, 4), affine_norms=False),
    "denoiser": network("denoiser", patch_multiple=(16, 16, 8), denoises=True),
}
SPACES = {
    "mix": SearchSpace(method="mix", distributions={"alpha": FloatDistribution(0.0, 1.0)}),
    "erm": SearchSpace(method="erm", distributions={"training.learning_rate": FloatDistribution(1e-3, 1e-1, log=True)}),
}


@dataclass(frozen=True, kw_only=True)
class World:
    """Everything that tests of planning build from."""

    case: Callable[..., CaseInfo] = case
    data_set: Callable[..., list[CaseInfo]] = data_set
    method: Callable[..., MethodDeclaration] = method
    network: Callable[..., NetworkDeclaration] = network

    def plan(
        self,
        cases: Sequence[CaseInfo] | None = None,
        *,
        labels: Mapping[str, int] | None = None,
        declared: Mapping[str, MethodDeclaration] | None = None,
        backbones: Mapping[str, NetworkDeclaration] | None = None,
        spaces: Mapping[str, SearchSpace] | None = None,
        trials: Mapping[str, GivenTrial] | None = None,
        weights: Mapping[str, KnownWeights] | None = None,
        **config: Any,
    ) -> Plan:
        sweep = SweepConfig.model_validate({"data": {"manifest": "m.csv"}, "methods": ["erm"], **config})
        return build_plan(
            sweep,
            data_set() if cases is None else cases,
            labels or {"pancreas": 1},
            {**METHODS, **(declared or {})},
            {**NETWORKS, **(backbones or {})},
            SPACES if spaces is None else spaces,
            Existing(trials=trials or {}, weights=weights or {}),
        )


@pytest.fixture(scope="session")
def world() -> World:
    return World()
