"""The division into meta-train and meta-test domains and the simulated step as pure functions, then the method."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from dgsweep.method.base import Batch, BatchSpec, Method, View
from dgsweep.method.context import Context


def held_out(domain: Tensor, n_test: int, generator: torch.Generator) -> Tensor:
    """Mask (B,) of the samples whose domain is drawn for meta-test; at least one domain stays for meta-train."""
    present = torch.unique(domain)
    drawn = torch.randperm(len(present), generator=generator, device=domain.device)
    return torch.isin(domain, present[drawn[: min(n_test, len(present) - 1)]])


def simulated_step(
    loss: Tensor, parameters: Mapping[str, Tensor], rate: float, *, second_order: bool
) -> dict[str, Tensor]:
    """One step of plain gradient descent: theta' = theta - rate * grad(loss), by name.

    With `second_order` the gradient itself can be differentiated (Li et al., Algorithm 1), else it is a constant.
    """
    gradients = torch.autograd.grad(
        loss, list(parameters.values()), retain_graph=True, create_graph=second_order, materialize_grads=True
    )
    steps = zip(parameters.items(), gradients, strict=True)
    return {name: value - rate * gradient for (name, value), gradient in steps}


@final
@dataclass(kw_only=True)
class Mldg(Method):
    """F(theta) on meta-train domains + beta * G(theta') on meta-test domains."""

    beta: float
    inner_lr: float
    n_test: int
    variant: str

    def batch_spec(self) -> BatchSpec:
        """One domain to train on, one to test on."""
        return BatchSpec(min_domains=2)

    def loss(self, ctx: Context, batch: Batch, views: Sequence[View]) -> Mapping[str, Tensor]:
        """Both terms; a batch of a single domain is trained on as it is."""
        batch = batch.as_shown(views)
        test = held_out(batch.domain, self.n_test, ctx.generator)
        if not bool(test.any()):
            return super().loss(ctx, batch, views)
        ctx.mark_active()
        train_part, test_part = batch.subset(~test), batch.subset(test)
        train_loss = ctx.domain_losses(ctx.forward(train_part.image), train_part).mean()
        moved = simulated_step(
            train_loss, dict(ctx.network.named_parameters()), self.inner_lr, second_order=self.variant == "paper"
        )
        test_loss = ctx.domain_losses(ctx.forward(test_part.image, moved), test_part).mean()
        return {"segmentation": train_loss, "meta_test": self.beta * test_loss}
