"""Methods that tests of the trainer need: one that breaks, one that adapts, one that knows the answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dgsweep.method import Hyperparameter, MethodDeclaration
from dgsweep.method.base import Batch, Method, View
from dgsweep.method.context import Context


@dataclass(kw_only=True)
class NanAt(Method):
    """Its loss is NaN at one step."""

    step: int

    def loss(self, ctx: Context, batch: Batch, views: Sequence[View]) -> Mapping[str, Tensor]:
        terms = super().loss(ctx, batch, views)
        return {key: value * float("nan") if ctx.step == self.step else value for key, value in terms.items()}


@dataclass(kw_only=True)
class TwoViews(Method):
    """Two forward passes in one step."""

    def views(self, ctx: Context, batch: Batch) -> Sequence[View]:
        noise = torch.randn(batch.image.shape, generator=ctx.generator, device=ctx.device)
        return [View(image=batch.image, label=batch.label), View(image=batch.image + noise, label=batch.label)]


@dataclass(kw_only=True)
class Scaling(Method):
    """An auxiliary module before the network."""

    def setup(self, ctx: Context) -> None:
        ctx.add_module("scale", torch.nn.Conv3d(1, 1, 1))

    def views(self, ctx: Context, batch: Batch) -> Sequence[View]:
        return [View(image=ctx.modules["scale"](batch.image), label=batch.label)]


@dataclass(kw_only=True)
class Adapting(Method):
    """Before each case it sets the bias of the last layer so that class 1 wins everywhere."""

    def adapt(self, ctx: Context, image: Tensor) -> None:
        with torch.no_grad():
            for parameter in ctx.network.parameters():
                parameter.zero_()
            list(ctx.network.parameters())[-1][1] = 5.0


@dataclass(kw_only=True)
class Zeroing(Method):
    """Leaves a network of zeros, which predicts background everywhere."""

    def finish(self, ctx: Context) -> None:
        with torch.no_grad():
            for parameter in ctx.network.parameters():
                parameter.zero_()


@dataclass(kw_only=True)
class Spy(Method):
    """Remembers in ctx.state which cases it saw, the mode it was called in and the scores it was told."""

    def views(self, ctx: Context, batch: Batch) -> Sequence[View]:
        assert ctx.network.training
        ctx.state.setdefault("cases", []).append(list(batch.case_ids))
        return super().views(ctx, batch)

    def on_eval(self, ctx: Context, scores: Mapping[str, float]) -> None:
        ctx.state.setdefault("scores", []).append(dict(scores))

    def finish(self, ctx: Context) -> None:
        ctx.state.setdefault("finished", []).append([ctx.step, len(ctx.state.get("scores", []))])


@dataclass(kw_only=True)
class Oracle(Method):
    """Reads the class from the grey value: images of these tests are 10 times the class."""

    wrong: bool

    def predict_case(self, ctx: Context, image: Tensor) -> Tensor:
        levels = torch.linspace(float(image.min()), float(image.max()), 3)
        classes = (image[0, ..., None] - levels).abs().argmin(dim=-1)
        if self.wrong:
            classes = torch.where(classes == 0, 0, 3 - classes)
        return torch.nn.functional.one_hot(classes, 3).movedim(-1, 0).float()


def _declare(name: str, kind: type[Method], **defaults: Any) -> MethodDeclaration:
    return MethodDeclaration(
        name=name,
        recipe_version=1,
        summary="for tests",
        implementation=f"training_plugins:{kind.__name__}",
        hyperparameters={key: Hyperparameter(default=value) for key, value in defaults.items()},
    )


NAN_AT = _declare("nan_at", NanAt, step=3)
TWO_VIEWS = _declare("two_views", TwoViews)
SCALING = _declare("scaling", Scaling)
ADAPTING = _declare("adapting", Adapting)
SPY = _declare("spy", Spy)
ZEROING = _declare("zeroing", Zeroing)
ORACLE = _declare("oracle", Oracle, wrong=False)
