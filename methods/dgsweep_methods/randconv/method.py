"""RandConv: the random convolution and the agreement of predictions as pure functions, then the method."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from dgsweep.method.base import Batch, Method, View
from dgsweep.method.context import Context
from dgsweep.method.random_conv import conv_per_sample
from dgsweep.method.volume import per_sample


def random_convolution(image: Tensor, kernels: Sequence[int], generator: torch.Generator) -> Tensor:
    """One convolution without bias, weights N(0, 1 / (k^3 C)); k is drawn once, weights for each sample.

    Image and result: (B, C, X, Y, Z). Xu et al., ICLR 2021.
    """
    n, c = image.shape[:2]
    size = kernels[int(torch.randint(len(kernels), (1,), generator=generator, device=image.device))]
    weight = torch.randn(n, c, c, size, size, size, generator=generator, device=image.device)
    return conv_per_sample(image, weight / (c * size**3) ** 0.5)


def disagreement(logits: Sequence[Tensor]) -> Tensor:
    """Mean over draws, samples and voxels of KL(p_i || mean of the p); each logits is (B, K+1, X, Y, Z)."""
    log_p = torch.log_softmax(torch.stack([each.float() for each in logits]), dim=2)
    middle = log_p.exp().mean(0).clamp_min(1e-7).log()
    return (log_p.exp() * (log_p - middle)).sum(2).mean()


@final
@dataclass(kw_only=True)
class RandConv(Method):
    """Train on one re-textured draw and make the predictions of three draws agree."""

    kernels: tuple[int, ...]
    mixing: bool
    p_identity: float
    consistency: float
    variant: str

    def views(self, ctx: Context, batch: Batch) -> Sequence[View]:
        """Three draws (one without consistency); as shipped, the second and third start from the first."""
        first = self._draw(ctx, batch.image)
        start = first if self.variant == "as_shipped" else batch.image
        rest = [self._draw(ctx, start) for _ in range(2 if self.consistency else 0)]
        return [View(image=image, label=batch.label) for image in (first, *rest)]

    def _draw(self, ctx: Context, image: Tensor) -> Tensor:
        kept = torch.rand(len(image), generator=ctx.generator, device=image.device) < self.p_identity
        if bool(kept.all()):
            return image
        ctx.mark_active()
        shown = random_convolution(image, self.kernels, ctx.generator)
        if self.mixing:
            shown = image.lerp(shown, per_sample(torch.rand(len(image), generator=ctx.generator, device=image.device)))
        return torch.where(per_sample(kept), image, shown)

    def loss(self, ctx: Context, batch: Batch, views: Sequence[View]) -> Mapping[str, Tensor]:
        """Segmentation of the first draw; disagreement of all draws at the finest output."""
        outputs = [ctx.forward(view.image) for view in views]
        terms = {"segmentation": ctx.seg_loss(outputs[0], batch.label)}
        if self.consistency:
            terms["consistency"] = self.consistency * disagreement([output[0] for output in outputs])
        return terms
