"""The warps and the agreement of two predictions as pure functions, then the method."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor
from torch.nn import functional

from dgsweep.method.base import Batch, Method, View
from dgsweep.method.context import Context
from dgsweep.method.descriptors import PAIRS, mind_ssc
from dgsweep.method.networks import norm_parameters, require_norm_parameters
from dgsweep.method.patches import random_patch
from dgsweep.method.random_conv import blend, random_network

LAYERS, CHANNELS, KERNELS = 4, 2, (1, 3)
"""GIN as DG-TTA releases it."""
DELTA, SIGMA, NOISE = 1, 1.0, 0.05
"""MIND-SSC as DG-TTA releases it."""


def recoloured(image: Tensor, generator: torch.Generator) -> Tensor:
    """GIN on every sample of (B, C, X, Y, Z)."""
    alpha = torch.rand(len(image), generator=generator, device=image.device)
    return blend(image, random_network(image, LAYERS, CHANNELS, KERNELS, generator), alpha)


def random_affine(strength: float, generator: torch.Generator, device: torch.device) -> tuple[Tensor, Tensor]:
    """A matrix (1, 3, 4) for `grid_sample`, the identity with N(0, strength^2) on each entry, and its inverse."""
    matrix = torch.eye(4, device=device)
    matrix[:3] += strength * torch.randn(3, 4, generator=generator, device=device)
    return matrix[None, :3], torch.linalg.inv(matrix)[None, :3]


def warped(volume: Tensor, matrix: Tensor, *, outside: str) -> Tensor:
    """Resample (1, C, X, Y, Z) trilinearly by an affine matrix (1, 3, 4); `outside` is a padding mode."""
    grid = functional.affine_grid(matrix, [1, 1, *volume.shape[2:]], align_corners=False)
    return functional.grid_sample(volume, grid, padding_mode=outside, align_corners=False)


def disagreement(first: Tensor, second: Tensor, seen: Tensor) -> Tensor:
    """One minus the mean over foreground classes of 2 sum(a b) / (sum((a + b)^2) / 2), zero where a = b.

    Probabilities (1, K+1, X, Y, Z); only voxels where `seen` (1, 1, X, Y, Z) is 1 are summed.
    """
    axes = (2, 3, 4)
    both = 2.0 * (first * second * seen).sum(axes)
    total = 0.5 * ((first + second) ** 2 * seen).sum(axes)
    agreement = torch.where(total > 0, both / total.clamp_min(1e-30), 1.0)
    return 1.0 - agreement[:, 1:].mean()


@final
@dataclass(kw_only=True)
class DgTta(Method):
    """Generalise while training, then adapt to each case by the consistency of its predictions."""

    pretraining: str
    learning_rate: float
    updates: int
    patches: int
    strength: float
    coloured: bool
    adapted: str

    def in_channels(self, image_channels: int) -> int:
        """Twelve descriptors for each channel where the network sees descriptors."""
        return image_channels * (len(PAIRS) if "mind" in self.pretraining else 1)

    def setup(self, ctx: Context) -> None:
        """Refuse, before training, a network whose norms could not be adapted."""
        if self.adapted == "norms" and self.updates:
            require_norm_parameters(ctx.network, "dg_tta with adapted: norms")

    def views(self, ctx: Context, batch: Batch) -> Sequence[View]:
        """First re-colour every sample, then describe it."""
        image = batch.image
        if "gin" in self.pretraining:
            image = recoloured(image, ctx.generator)
        if "mind" in self.pretraining:
            n, c, *size = image.shape
            grain = torch.randn(n, c, len(PAIRS), *size, generator=ctx.generator, device=ctx.device)
            image = mind_ssc(image, DELTA, SIGMA, NOISE * grain)
        if self.pretraining != "none":
            ctx.mark_active()
        return [View(image=image, label=batch.label)]

    def infer_input(self, ctx: Context, image: Tensor) -> Tensor:
        """The descriptors without noise, where the network was trained on them."""
        del ctx
        return mind_ssc(image, DELTA, SIGMA) if "mind" in self.pretraining else image

    def adapt(self, ctx: Context, image: Tensor) -> None:
        """AdamW on the mean disagreement over random patches; only the first branch carries a gradient."""
        chosen = norm_parameters(ctx.network) if self.adapted == "norms" else list(ctx.network.parameters())
        optimizer = torch.optim.AdamW(chosen, lr=self.learning_rate)
        for _ in range(self.updates):
            ctx.mark_active()
            optimizer.zero_grad()
            for _ in range(self.patches):
                patch = random_patch(image, ctx.recipe.patch, ctx.generator)
                first, seen_first = self._branch(ctx, patch)
                with torch.no_grad():
                    second, seen_second = self._branch(ctx, patch)
                loss = disagreement(first, second, seen_first * seen_second)
                (loss / self.patches).backward(inputs=chosen)
            optimizer.step()

    def _branch(self, ctx: Context, patch: Tensor) -> tuple[Tensor, Tensor]:
        """Prediction of a warped patch, warped back, and where it comes from inside the patch."""
        there, back = random_affine(self.strength, ctx.generator, ctx.device)
        shown = warped(patch, there, outside="border")
        shown = recoloured(shown, ctx.generator) if self.coloured else shown
        logits = warped(ctx.forward(self.infer_input(ctx, shown))[0].float(), back, outside="zeros")
        seen = warped(torch.ones_like(patch[:, :1]), back, outside="zeros") > 0.5
        return torch.softmax(logits, dim=1), seen.to(logits.dtype)
