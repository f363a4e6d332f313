"""RAM-DSIR: amplitude-mixed second view, consistency of predictions, domain-specific restoration of the image."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from dgsweep.method.amplitude import mix_amplitude
from dgsweep.method.base import Batch, BatchSpec, Method, Tap, View
from dgsweep.method.context import Context
from dgsweep.method.features import observe
from dgsweep.method.sampling import draw_partners
from dgsweep_methods.ram_dsir.restorer import Restorer


def symmetric_divergence(first: Tensor, second: Tensor) -> Tensor:
    """KL(p1, p2) + KL(p2, p1), mean over voxels; logits (B, K+1, X, Y, Z)."""
    log_1, log_2 = torch.log_softmax(first.float(), dim=1), torch.log_softmax(second.float(), dim=1)
    return ((log_1.exp() - log_2.exp()) * (log_1 - log_2)).sum(dim=1).mean()


def divergence_as_shipped(first: Tensor, second: Tensor) -> Tensor:
    """The released formula: `kl_div` both ways, given probabilities where it wants logarithms; mean of all elements."""
    p_1, p_2 = torch.softmax(first.float(), dim=1), torch.softmax(second.float(), dim=1)
    return (torch.xlogy(p_1, p_1) + torch.xlogy(p_2, p_2) - 2.0 * p_1 * p_2).mean()


def restoration_error(restored: Tensor, image: Tensor, domain: Tensor) -> Tensor:
    """Squared error to the image, scaled to [-1, 1] by its range; mean over each domain, summed over domains.

    Restored and image: (B, C, X, Y, Z); domain: (B,).
    """
    low, high = image.amin(dim=(2, 3, 4), keepdim=True), image.amax(dim=(2, 3, 4), keepdim=True)
    target = 2.0 * (image - low) / (high - low).clamp(min=1e-7) - 1.0
    error = ((restored.float() - target) ** 2).flatten(1).mean(dim=1)
    return torch.stack([error[domain == index].mean() for index in torch.unique(domain)]).sum()


@final
@dataclass(kw_only=True)
class RamDsir(Method):
    """Segment the image and its amplitude-mixed version alike, and restore the image from the latter's features."""

    variant: str
    restoration: float
    consistency: float
    alpha: float
    extent: float

    def batch_spec(self) -> BatchSpec:
        """Amplitudes come from another domain of the batch."""
        return BatchSpec(min_domains=2)

    def setup(self, ctx: Context) -> None:
        """The decoder that restores the image."""
        ctx.add_module("restorer", Restorer(ctx.tap_channels("bottleneck"), ctx.n_domains))

    def taps(self) -> Mapping[str, Tap]:
        """Keep the features of the bottleneck."""
        return {"bottleneck": observe}

    def views(self, ctx: Context, batch: Batch) -> Sequence[View]:
        """The image, and the image with amplitudes mixed with those of a sample of another domain."""
        partner = draw_partners(len(batch.domain), ctx.generator, batch.domain)
        found = batch.domain[partner] != batch.domain
        share = self.alpha * found * torch.rand(len(found), generator=ctx.generator, device=ctx.device)
        mixed = mix_amplitude(batch.image, batch.image[partner], share, self.extent)
        if bool(found.any()):
            ctx.mark_active()
        return [View(image=image, label=batch.label) for image in (batch.image, mixed)]

    def loss(self, ctx: Context, batch: Batch, views: Sequence[View]) -> Mapping[str, Tensor]:
        """Segmentation of both views, their agreement, and the restoration from the second's bottleneck."""
        first, second = ctx.forward(views[0].image), ctx.forward(views[1].image)
        with torch.autocast(ctx.device.type, dtype=torch.bfloat16, enabled=ctx.recipe.autocast):
            restored = ctx.modules["restorer"](ctx.features["bottleneck"], batch.domain, batch.image.shape[2:])
        divergence = divergence_as_shipped if self.variant == "as_shipped" else symmetric_divergence
        return {
            "segmentation": ctx.seg_loss(first, batch.label) + ctx.seg_loss(second, batch.label),
            "consistency": self.consistency * divergence(first[0], second[0]),
            "restoration": self.restoration * restoration_error(restored, batch.image, batch.domain),
        }
