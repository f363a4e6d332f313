"""The valley of the validation loss as a pure function of the curve, then the method."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from dgsweep.method.base import Method
from dgsweep.method.context import Context


def valley(
    losses: Sequence[float], n_converge: int, n_tolerance: int, tolerance: float
) -> tuple[int | None, int | None]:
    """First and last validation of the valley (Cha et al., Algorithm 1); None for what the curve does not show yet.

    It starts at the first validation that is no worse than the `n_converge` - 1 after it, and ends before the first
    `n_tolerance` validations in a row above (1 + `tolerance`) times the mean loss of those that started it.
    """
    starts = range(len(losses) - n_converge + 1)
    first = next((i for i in starts if losses[i] == min(losses[i : i + n_converge])), None)
    if first is None:
        return None, None
    limit = (1.0 + tolerance) * sum(losses[first : first + n_converge]) / n_converge
    for i in range(first + n_converge, len(losses)):
        if min(losses[max(0, i - n_tolerance + 1) : i + 1]) > limit:
            return first, i - n_tolerance
    return first, None


def fold(mean: Tensor, count: int, value: Tensor, weight: int = 1) -> None:
    """Fold `value`, itself the mean of `weight` vectors, into the mean of `count` vectors, in place."""
    mean.add_(value - mean, alpha=weight / (count + weight))


@final
@dataclass(kw_only=True)
class Swad(Method):
    """Average densely between validations; keep the averages that lie in the valley."""

    n_converge: int
    n_tolerance: int
    tolerance: float

    def setup(self, ctx: Context) -> None:
        """Start with nothing averaged and an empty curve."""
        zero = torch.zeros_like(_flat(ctx))
        ctx.state |= {"open": zero, "open_steps": 0, "held": [], "mean": zero.clone(), "steps": 0}
        ctx.state |= {"losses": [], "first": None, "last": None}

    def after_step(self, ctx: Context) -> None:
        """Fold the new weights into the stretch since the last validation."""
        if ctx.state["last"] is not None:
            return
        if ctx.state["first"] is not None:
            ctx.mark_active()
        fold(ctx.state["open"], ctx.state["open_steps"], _flat(ctx))
        ctx.state["open_steps"] += 1

    def on_eval(self, ctx: Context, scores: Mapping[str, float]) -> None:
        """Close the stretch, look for the valley, and average the stretches that surely lie in it."""
        state = ctx.state
        if "all" not in scores or not state or state["last"] is not None:
            return
        state["losses"] = [*state["losses"], 1.0 - scores["all"]]
        state["held"] = [*state["held"], (state["open"], state["open_steps"])]
        state["open"], state["open_steps"] = torch.zeros_like(state["open"]), 0
        first, last = valley(state["losses"], self.n_converge, self.n_tolerance, self.tolerance)
        state["first"], state["last"] = first, last
        if first is None:
            state["held"] = state["held"][-self.n_converge :]
            return
        oldest = len(state["losses"]) - len(state["held"])
        held = state["held"][max(0, first - oldest) :]
        sure = len(held) - self.n_tolerance
        _average(state, held[: max(0, sure)])
        state["held"] = held[max(0, sure) :] if last is None else []

    def finish(self, ctx: Context) -> None:
        """The average becomes the network; without a valley the last weights stay. A valley still open ends here."""
        state = ctx.state
        if state["first"] is not None:
            _average(state, [*state["held"], (state["open"], state["open_steps"])])
            with torch.no_grad():
                parameters = list(ctx.network.parameters())
                parts = state["mean"].split([parameter.numel() for parameter in parameters])
                for parameter, part in zip(parameters, parts, strict=True):
                    parameter.copy_(part.view(parameter.shape))
        ctx.state = {}


def _flat(ctx: Context) -> Tensor:
    return torch.cat([parameter.detach().reshape(-1) for parameter in ctx.network.parameters()])


def _average(state: dict[str, Any], stretches: Sequence[tuple[Tensor, int]]) -> None:
    for value, steps in stretches:
        if steps:
            fold(state["mean"], state["steps"], value, steps)
            state["steps"] += steps
