"""MedSegDiff as a method: the loss is the error of the predicted noise, prediction removes noise step by step."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor
from torch.nn import functional

from dgsweep.method.base import Batch, Method, View
from dgsweep.method.context import Context, stream_seed
from dgsweep.method.networks import require_denoiser
from dgsweep.method.patches import by_tiles
from dgsweep_methods.medsegdiff.diffusion import (
    cleaned,
    decoded,
    encoded,
    kept_signal,
    noised,
    sampling_steps,
    stepped_back,
)


@final
@dataclass(kw_only=True)
class MedSegDiff(Method):
    """Learn the noise of a mask at a random diffusion step; predict by denoising from pure noise."""

    steps: int
    sampling_steps: int
    eta: float
    ensemble: int

    def setup(self, ctx: Context) -> None:
        """Refuse, before training, a network that cannot be told a noisy mask."""
        require_denoiser(ctx.network, "medsegdiff")

    def loss(self, ctx: Context, batch: Batch, views: Sequence[View]) -> Mapping[str, Tensor]:
        """Mean square error of the noise; each slice of each sample has its own diffusion step."""
        shown, network = batch.as_shown(views), require_denoiser(ctx.network, "medsegdiff")
        clean = encoded(shown.label, network.n_classes)
        slices = (len(clean), clean.shape[-1])
        step = torch.randint(self.steps, slices, generator=ctx.generator, device=ctx.device)
        noise = torch.randn(clean.shape, generator=ctx.generator, device=ctx.device)
        kept = kept_signal(self.steps).to(ctx.device, torch.float32)[step][:, None, None, None]
        with network.conditioned(noised(clean, noise, kept), step):
            found = ctx.forward(shown.image)[0]
        ctx.mark_active()
        return {"denoising": functional.mse_loss(found.float(), noise)}

    def predict_case(self, ctx: Context, image: Tensor) -> Tensor | None:
        """Denoise patches that cover the case, from noise that depends on the seed of the trial only."""
        generator = torch.Generator(device=ctx.device).manual_seed(stream_seed("medsegdiff", ctx.recipe.seed))
        return by_tiles(image[None], ctx.recipe.patch, lambda window: self._sampled(ctx, window, generator))[0]

    def _sampled(self, ctx: Context, window: Tensor, generator: torch.Generator) -> Tensor:
        """Class probabilities (1, K+1, x, y, z) of one window, averaged over the ensemble."""
        votes = [decoded(self._clean_mask(ctx, window, generator)) for _ in range(self.ensemble)]
        return torch.stack(votes).mean(dim=0)

    def _clean_mask(self, ctx: Context, window: Tensor, generator: torch.Generator) -> Tensor:
        network = require_denoiser(ctx.network, "medsegdiff")
        kept = kept_signal(self.steps).to(ctx.device, torch.float32)
        size = (len(window), network.n_classes, *window.shape[2:])
        mask = torch.randn(size, generator=generator, device=ctx.device)
        shown = ctx.method.infer_input(ctx, window)
        visited = sampling_steps(self.steps, self.sampling_steps)
        for step, earlier in zip(visited, [*visited[1:], None], strict=True):
            told = torch.full((len(window), window.shape[-1]), step, device=ctx.device)
            with (
                network.conditioned(mask, told),
                torch.autocast(ctx.device.type, dtype=torch.bfloat16, enabled=ctx.recipe.autocast),
            ):
                noise = ctx.network(shown)[0]
            clean = cleaned(mask, noise.float(), kept[step])
            if earlier is None:
                return clean
            fresh = torch.randn(size, generator=generator, device=ctx.device)
            mask = stepped_back(mask, clean, kept[step], kept[earlier], self.eta, fresh)
        return mask
