"""ERM is the contract with no hook overridden."""

from dataclasses import dataclass
from typing import final

from dgsweep.method.base import Method


@final
@dataclass(kw_only=True)
class Erm(Method):
    """Minimise the mean segmentation loss over all source patches."""
