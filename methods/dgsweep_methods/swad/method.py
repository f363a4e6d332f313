"""The valley of the validation loss as a pure function of the curve, then the method."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from dgsweep.method.base import Method
from dgsweep.method.context import Context

Stretch = tuple[Tensor, int]
"""Mean of the weights after some steps, all in one vector (P,), and how many steps they are."""


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


def folded(mean: Tensor, count: int, value: Tensor, weight: int = 1) -> Tensor:
    """Mean of `count` vectors of mean `mean` and of `weight` more of mean `value`; (P,) each."""
    return torch.lerp(mean, value, weight / (count + weight))


@final
@dataclass(kw_only=True)
class Swad(Method):
    """Average densely between validations; keep the averages that lie in the valley."""

    n_converge: int
    n_tolerance: int
    tolerance: float

    def setup(self, ctx: Context) -> None:
        """Start with nothing averaged and an empty curve."""
        nothing = (torch.zeros_like(_flat(ctx)), 0)
        ctx.state["swad"] = {"open": nothing, "held": [], "mean": nothing, "losses": [], "first": None, "last": None}

    def after_step(self, ctx: Context) -> None:
        """Fold the new weights into the stretch since the last validation."""
        state = ctx.state["swad"]
        if state["last"] is not None:
            return
        if state["first"] is not None:
            ctx.mark_active()
        ctx.state["swad"] = {**state, "open": _average(state["open"], [(_flat(ctx), 1)])}

    def on_eval(self, ctx: Context, scores: Mapping[str, float]) -> None:
        """Close the stretch, look for the valley, and average the stretches that surely lie in it."""
        state = ctx.state.get("swad")
        if "all" not in scores or state is None or state["last"] is not None:
            return
        losses, held = [*state["losses"], 1.0 - scores["all"]], [*state["held"], state["open"]]
        first, last = valley(losses, self.n_converge, self.n_tolerance, self.tolerance)
        sure = 0
        if first is None:
            held = held[-self.n_converge :]
        else:
            held = held[max(0, first - (len(losses) - len(held))) :]
            sure = max(0, len(held) - self.n_tolerance)
        ctx.state["swad"] = {
            "open": (torch.zeros_like(state["open"][0]), 0),
            "held": held[sure:] if last is None else [],
            "mean": _average(state["mean"], held[:sure]),
            "losses": losses,
            "first": first,
            "last": last,
        }

    def finish(self, ctx: Context) -> None:
        """The average becomes the network; without a valley the last weights stay. A valley still open ends here."""
        state = ctx.state.pop("swad")
        if state["first"] is None:
            return
        mean, _ = _average(state["mean"], [*state["held"], state["open"]])
        parameters = list(ctx.network.parameters())
        parts = mean.split([parameter.numel() for parameter in parameters])
        with torch.no_grad():
            for parameter, part in zip(parameters, parts, strict=True):
                parameter.copy_(part.view(parameter.shape))


def _flat(ctx: Context) -> Tensor:
    return torch.cat([parameter.detach().reshape(-1) for parameter in ctx.network.parameters()])


def _average(mean: Stretch, stretches: Sequence[Stretch]) -> Stretch:
    value, count = mean
    for other, steps in stretches:
        if steps:
            value, count = folded(value, count, other, steps), count + steps
    return value, count
