"""Methods that each break one promise, and the declarations under which they are found out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dgsweep.config.declaration import Hyperparameter, MethodDeclaration, Requires
from dgsweep.method.base import Batch, BatchSpec, Method, View
from dgsweep.method.context import Context


@dataclass(kw_only=True)
class Clone(Method):
    """ERM under another name."""

    def views(self, ctx: Context, batch: Batch) -> Sequence[View]:
        ctx.mark_active()
        return super().views(ctx, batch)


@dataclass(kw_only=True)
class Shift(Method):
    """An honest method: adds a constant to the image. The base of the planted ones."""

    size: float

    def changed(self, ctx: Context, image: Tensor) -> Tensor:
        return image + self.size

    def views(self, ctx: Context, batch: Batch) -> Sequence[View]:
        if self.size:
            ctx.mark_active()
        return [View(image=self.changed(ctx, batch.image), label=batch.label)]


@dataclass(kw_only=True)
class Greedy(Shift):
    """Asks for two domains in a batch."""

    def batch_spec(self) -> BatchSpec:
        return BatchSpec(min_domains=2)


@dataclass(kw_only=True)
class Rounding(Shift):
    """Standardises the image and undoes it: other bits, the same picture."""

    def changed(self, ctx: Context, image: Tensor) -> Tensor:
        mean, std = image.mean(), image.std() + 1
        return (image - mean) / std * std + mean if self.size else image


@dataclass(kw_only=True)
class TwoFaced(Shift):
    """Honest as its paper says; as shipped it does nothing."""

    variant: str

    def changed(self, ctx: Context, image: Tensor) -> Tensor:
        return image + self.size if self.variant == "paper" else image


@dataclass(kw_only=True)
class Idle(Shift):
    """Changes the update and never says that it was active."""

    def views(self, ctx: Context, batch: Batch) -> Sequence[View]:
        return [View(image=batch.image + self.size, label=batch.label)]


@dataclass(kw_only=True)
class Forgetful(Shift):
    """Keeps state in a Python attribute, which no checkpoint holds."""

    def changed(self, ctx: Context, image: Tensor) -> Tensor:
        self.calls = getattr(self, "calls", 0) + 1
        return image + self.size * self.calls


@dataclass(kw_only=True)
class Remembering(Shift):
    """The same with the state where it belongs."""

    def changed(self, ctx: Context, image: Tensor) -> Tensor:
        ctx.state["calls"] = ctx.state.get("calls", 0) + 1
        return image + self.size * ctx.state["calls"]


@dataclass(kw_only=True)
class Divider(Shift):
    """Divides by the deviation of the patch."""

    def changed(self, ctx: Context, image: Tensor) -> Tensor:
        return image if self.size == 0 else self.size * image / (image - image.mean()).std()


@dataclass(kw_only=True)
class Inverter(Shift):
    """Turns every image upside down."""

    def changed(self, ctx: Context, image: Tensor) -> Tensor:
        return image if self.size == 0 else -self.size * image


@dataclass(kw_only=True)
class GlobalNoise(Shift):
    """Draws from torch's global stream, which the context seeds at each step for layers such as dropout."""

    def changed(self, ctx: Context, image: Tensor) -> Tensor:
        return image + self.size * torch.randn_like(image)


@dataclass(kw_only=True)
class Crashing(Shift):
    """Cannot take a batch of two."""

    def changed(self, ctx: Context, image: Tensor) -> Tensor:
        return image + self.size * image[3:4]


@dataclass(kw_only=True)
class SureOfItself(Method):
    """An honest method that trains as ERM and differs at test time only."""

    size: float

    def adapt(self, ctx: Context, image: Tensor) -> None:
        if self.size:
            ctx.mark_active()
        with torch.no_grad():
            for parameter in ctx.network.parameters():
                parameter.mul_(1 + self.size)


@dataclass(kw_only=True)
class DomainGap(Shift):
    """Adds the squared difference of domain losses; `size` is its weight."""

    def loss(self, ctx: Context, batch: Batch, views: Sequence[View]) -> Mapping[str, Tensor]:
        losses = torch.stack([ctx.seg_loss(ctx.forward(part.image), part.label) for part in ctx.domains_in(batch)])
        if self.size:
            ctx.mark_active()
        return {"segmentation": losses.mean(), "gap": self.size * losses.var(correction=0)}

    def views(self, ctx: Context, batch: Batch) -> Sequence[View]:
        return [View(image=batch.image, label=batch.label)]


@dataclass(kw_only=True)
class BiasedGap(DomainGap):
    """Its penalty is not zero on identical domains."""

    def loss(self, ctx: Context, batch: Batch, views: Sequence[View]) -> Mapping[str, Tensor]:
        terms = super().loss(ctx, batch, views)
        return {**terms, "gap": terms["gap"] + terms["segmentation"] * self.size}


SIZE = {"size": Hyperparameter(default=0.5, low=0.0, high=10.0)}


def declare(kind: type[Method], **changes: Any) -> MethodDeclaration:
    fields: dict[str, Any] = {
        "recipe_version": 1,
        "summary": "planted",
        "hyperparameters": {} if kind is Clone else SIZE,
        "identity": {} if kind is Clone else {"size": 0.0},
        "implementation": f"planted_methods:{kind.__name__}",
    }
    return MethodDeclaration(name=kind.__name__.lower(), **{**fields, **changes})


INVERTS = Requires(contrast_inversion="yes")
