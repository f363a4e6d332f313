"""Learning curves: rows of step, role, domain, metric, value."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

CURVE_COLUMNS = ("step", "role", "domain", "metric", "value")


def forget_curves(_: "Curves") -> None:
    """Keep nothing of curves on the way; the record at the end has them."""


@dataclass
class Curves:
    """Collects points, and means of the training losses between two points."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    _sums: dict[str, Tensor] = field(default_factory=dict)
    _count: int = 0

    def add_losses(self, losses: Mapping[str, Tensor]) -> None:
        """Accumulate the losses of one step on their device."""
        for name, value in losses.items():
            self._sums[name] = self._sums.get(name, torch.zeros((), device=value.device)) + value.detach()
        self._count += 1

    def flush_losses(self, step: int) -> dict[str, float]:
        """Write the mean of each loss since the last call as a point of the curve, and return them."""
        means = {name: float(total) / self._count for name, total in self._sums.items()}
        for name, value in means.items():
            self.add(step, "train", "all", f"loss_{name}", value)
        self._sums, self._count = {}, 0
        return means

    def add(self, step: int, role: str, domain: str, metric: str, value: float) -> None:
        """Add one point."""
        self.rows.append({"step": step, "role": role, "domain": domain, "metric": metric, "value": float(value)})

    def values(self, role: str, domain: str, metric: str) -> list[float]:
        """All values of one curve in order."""
        return [r["value"] for r in self.rows if (r["role"], r["domain"], r["metric"]) == (role, domain, metric)]

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps (checkpoints are written right after a flush or keep the running sums)."""
        return {"rows": self.rows, "sums": self._sums, "count": self._count}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> "Curves":
        """Inverse of `state`."""
        return cls(rows=list(state["rows"]), _sums=dict(state["sums"]), _count=int(state["count"]))
