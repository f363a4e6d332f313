"""What was there before a sweep is planned, beside its scans: finished trials and registered weights."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from dgsweep.plan.given import GivenTrial


@dataclass(frozen=True, kw_only=True)
class KnownWeights:
    """Weights of a pretrained model that are registered on this machine."""

    family: str
    """Method that they are of."""
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Existing:
    """What methods of a sweep may name."""

    trials: Mapping[str, GivenTrial] = field(default_factory=dict)
    """Folder, as the sweep file names it -> the finished trial in it."""
    weights: Mapping[str, KnownWeights] = field(default_factory=dict)
    """By the name under which they are registered."""
