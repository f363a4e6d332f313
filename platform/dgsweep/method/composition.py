"""Two methods as one, `gin+swad`: each hook has one owner, so what runs is what both papers say or it is refused."""

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any

from torch import Tensor, nn

from dgsweep.errors import MethodError, Problem
from dgsweep.method.base import Batch, BatchSpec, Closure, Method, Tap, View
from dgsweep.method.context import Context

SHARED = frozenset({"batch_spec", "setup", "taps", "after_step", "on_eval", "finish"})
"""Hooks that both may have: they are called one after the other. Taps of both must stand at different places."""


class Composed(Method):
    """Methods whose hooks do not collide; a hook that nobody has is ERM's."""

    def __init__(self, parts: Sequence[Method]) -> None:
        self.parts = tuple(parts)
        self._owner = {hook: part for part in self.parts for hook in part.hooks()}

    def _own(self, hook: str) -> Method:
        return self._owner.get(hook, self.parts[0])

    def hooks(self) -> tuple[str, ...]:
        """Hooks of all parts."""
        return tuple(self._owner)

    def batch_spec(self) -> BatchSpec:
        """What satisfies every part."""
        return BatchSpec(min_domains=max(part.batch_spec().min_domains for part in self.parts))

    def in_channels(self, image_channels: int) -> int:
        """As its owner says."""
        return self._own("in_channels").in_channels(image_channels)

    def setup(self, ctx: Context) -> None:
        """Of every part, in order."""
        for part in self.parts:
            part.setup(ctx)

    def views(self, ctx: Context, batch: Batch) -> Sequence[View]:
        """As its owner says."""
        return self._own("views").views(ctx, batch)

    def taps(self) -> Mapping[str, Tap]:
        """Of every part."""
        return {name: tap for part in self.parts for name, tap in part.taps().items()}

    def loss(self, ctx: Context, batch: Batch, views: Sequence[View]) -> Mapping[str, Tensor]:
        """As its owner says."""
        return self._own("loss").loss(ctx, batch, views)

    def optimize(self, ctx: Context, closure: Closure) -> None:
        """As its owner says."""
        self._own("optimize").optimize(ctx, closure)

    def after_step(self, ctx: Context) -> None:
        """Of every part, in order."""
        for part in self.parts:
            part.after_step(ctx)

    def on_eval(self, ctx: Context, scores: Mapping[str, float]) -> None:
        """Of every part, in order."""
        for part in self.parts:
            part.on_eval(ctx, scores)

    def finish(self, ctx: Context) -> None:
        """Of every part, in order."""
        for part in self.parts:
            part.finish(ctx)

    def predictor(self, ctx: Context) -> nn.Module:
        """As its owner says."""
        return self._own("predictor").predictor(ctx)

    def infer_input(self, ctx: Context, image: Tensor) -> Tensor:
        """As its owner says."""
        return self._own("infer_input").infer_input(ctx, image)

    def adapt(self, ctx: Context, image: Tensor) -> None:
        """As its owner says."""
        self._own("adapt").adapt(ctx, image)

    def predict_case(self, ctx: Context, image: Tensor) -> Tensor | None:
        """As its owner says."""
        return self._own("predict_case").predict_case(ctx, image)


def composed(builders: Mapping[str, Callable[..., Method]], varied: str = "") -> Callable[..., Composed]:
    """A builder of the composition: takes hyperparameters as `part.name=value`, and `variant`.

    Args:
        builders: Name of each part -> its class.
        varied: Name of the part that has variants.

    Raises:
        MethodError: When it is called and two parts override the same hook, or tap the same place.
    """

    def build(**values: Any) -> Composed:
        given: dict[str, dict[str, Any]] = {name: {} for name in builders}
        for key, value in values.items():
            part, _, field = key.rpartition(".")
            given[part or varied][field] = value
        parts = {name: builder(**given[name]) for name, builder in builders.items()}
        _refuse_collisions(parts)
        return Composed(tuple(parts.values()))

    return build


def _refuse_collisions(parts: Mapping[str, Method]) -> None:
    problems = [
        Problem(
            where="+".join(parts),
            found=f"{first} and {second} both need {', '.join(common)}",
            fix="compose one that changes the input with one that changes loss, optimizer or averaging",
        )
        for (first, one), (second, other) in combinations(parts.items(), 2)
        if (common := _common(one, other))
    ]
    if problems:
        raise MethodError("these methods cannot be composed:", problems)


def _common(one: Method, other: Method) -> list[str]:
    hooks = set(one.hooks()) & set(other.hooks()) - SHARED
    for first, second in ((one, other), (other, one)):
        if "predictor" in first.hooks():  # another network predicts than the one that these would change
            hooks |= {f"the network that predicts ({hook})" for hook in {"adapt", "finish"} & set(second.hooks())}
    return sorted(hooks) + sorted(f"the tap {name}" for name in set(one.taps()) & set(other.taps()))
