"""The style change as a pure function, its ascent, then the method."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, final

import torch
from torch import Tensor
from torch.nn import functional

from dgsweep.method.base import Batch, Method, View
from dgsweep.method.context import Context
from dgsweep.method.sampling import coin, draw_partners
from dgsweep.method.style import Style, restyle, spread, style_of
from dgsweep_methods.maxstyle.autoencoder import PLACES, Autoencoder


class Change(NamedTuple):
    """What is done to the styles of one place of the decoder; n samples, C channels."""

    mix: Tensor
    """(n, 1, 1, 1, 1), weight of the partner, used clamped to [0, 1]."""
    noise: Tensor
    """(2, n, C, 1, 1, 1), for mean and deviation, in units of their spread over the batch."""


def compose_style(feature: Tensor, partner: Tensor, change: Change) -> Tensor:
    """Give each sample (1 - mix) * its own style + mix * its partner's + noise * spread over the batch.

    Feature and result: (n, C, X, Y, Z), n at least 2; partner: (n,) indices. Chen et al., MICCAI 2022. No gradient
    flows through the statistics of the feature.
    """
    own, weight = style_of(feature.detach()), change.mix.clamp(0.0, 1.0)
    mean, std = (
        (1.0 - weight) * part + weight * part[partner] + draw * spread(part)
        for part, draw in zip(own, change.noise, strict=True)
    )
    return restyle(feature, own, Style(mean, std))


def ascend(start: Sequence[Tensor], loss_of: Callable[[], Tensor], steps: int, step_size: float) -> None:
    """Adam's ascent, in place, of tensors that `loss_of` reads; nothing else gets a gradient."""
    optimizer = torch.optim.Adam(list(start), lr=step_size, maximize=True)
    for _ in range(steps):
        for tensor, slope in zip(start, torch.autograd.grad(loss_of(), list(start)), strict=True):
            tensor.grad = slope
        optimizer.step()


@final
@dataclass(kw_only=True)
class MaxStyle(Method):
    """Segment the images and their worst re-styled reconstructions, while learning to reconstruct."""

    probability: float
    steps: int
    step_size: float
    width: int

    def setup(self, ctx: Context) -> None:
        """The autoencoder is trained with the network."""
        ctx.add_module("autoencoder", Autoencoder(self.width))

    def views(self, ctx: Context, batch: Batch) -> Sequence[View]:
        """The batch and, in most steps, its worst re-styled reconstruction."""
        shown = [View(image=batch.image, label=batch.label)]
        places = [place for place in range(PLACES) if coin(self.probability, ctx.generator)]
        if places and batch.image.shape[:2].numel() > 1:
            ctx.mark_active()
            shown.append(View(image=self._worst_image(ctx, batch, places), label=batch.label, tag="stylised"))
        return shown

    def loss(self, ctx: Context, batch: Batch, views: Sequence[View]) -> Mapping[str, Tensor]:
        """Segmentation of each view and reconstruction of the batch, summed."""
        if self.probability == 0.0:
            return super().loss(ctx, batch, views)
        model = _autoencoder(ctx)
        terms = {view.tag: ctx.seg_loss(ctx.forward(view.image), view.label) for view in views}
        reconstruction = functional.mse_loss(model.decode(model.encode(batch.image), batch.image.shape), batch.image)
        return {"segmentation": terms.pop("main"), "reconstruction": reconstruction, **terms}

    def _worst_image(self, ctx: Context, batch: Batch, places: list[int]) -> Tensor:
        model = _autoencoder(ctx)
        code = model.encode(batch.image).detach()
        partner, target = draw_partners(len(code), ctx.generator), style_of(batch.image)
        changes = {place: _random_change(len(code), model.widths[place], ctx) for place in places}

        def change(place: int, feature: Tensor) -> Tensor:
            return compose_style(feature, partner, changes[place]) if place in changes else feature

        def shown() -> Tensor:
            image = model.decode(code, batch.image.shape, change)
            return restyle(image, style_of(image), target)

        learned = [tensor for each in changes.values() for tensor in each]
        ascend(learned, lambda: ctx.seg_loss(ctx.forward(shown()), batch.label), self.steps, self.step_size)
        return shown().detach()


def _autoencoder(ctx: Context) -> Autoencoder:
    model: Autoencoder = ctx.modules["autoencoder"]  # type: ignore[assignment]  # setup put it there
    return model


def _random_change(n: int, channels: int, ctx: Context) -> Change:
    mix = torch.rand(n, 1, 1, 1, 1, generator=ctx.generator, device=ctx.device)
    noise = torch.randn(2, n, channels, 1, 1, 1, generator=ctx.generator, device=ctx.device)
    return Change(mix.requires_grad_(), noise.requires_grad_())
