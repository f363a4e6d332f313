"""A batch in parts, whose gradients add up to the whole one's: for devices that cannot hold it at once."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from dgsweep.method.base import Batch, Method

if TYPE_CHECKING:
    from dgsweep.method.context import Context

WHOLE_BATCH_HOOKS = frozenset({"views", "loss", "taps", "optimize", "after_step"})
"""Hooks of a method that may look at several patches together, or draw random numbers for all of them at once."""


def part_count(size: int, n_domains: int, min_domains: int) -> int:
    """Into how many parts a batch is cut: each has one patch of every domain, if that is possible.

    Where a batch has no more than one patch of a domain, each part is one patch, unless a method needs several domains
    together; 1 means that it cannot be cut.
    """
    domains = min(size, n_domains)
    if size % domains == 0 and size > domains:
        return size // domains
    return size if min_domains <= 1 else 1


def common_parts(parts: int, size: int) -> int:
    """The same number of parts for a second stream of patches beside the first."""
    return math.gcd(parts, size)


def cut(batch: Batch, parts: int) -> list[Batch]:
    """Cut a batch, and the unlabelled one beside it, into equal parts with the same number of patches of a domain.

    Where the patches of a domain cannot be shared out evenly, neighbours stay together.

    Raises:
        ValueError: The batch is no multiple of `parts`.
    """
    if parts == 1:
        return [batch]
    cuts = [_taken(batch, places) for places in _places(batch.domain, parts)]
    if batch.unlabelled is None:
        return cuts
    return [replace(part, unlabelled=free) for part, free in zip(cuts, cut(batch.unlabelled, parts), strict=True)]


def summed_loss(ctx: "Context", parts: Sequence[Batch]) -> Tensor:
    """Loss of a batch in parts: all but the last are backpropagated here, and that of the last is returned.

    A pass over all parts counts as one forward pass over the batch.
    """
    if len(parts) == 1:
        return _loss_of(ctx, parts[0])
    seen: list[dict[str, Tensor]] = []
    for part in parts[:-1]:
        passes = ctx.forward_passes
        ctx.backward(_loss_of(ctx, part) / len(parts))
        ctx.forward_passes = passes
        seen.append(ctx.losses)
    last = _loss_of(ctx, parts[-1])
    ctx.losses = {
        name: torch.stack([value, *(one[name] for one in seen if name in one)]).detach().sum() / len(parts)
        for name, value in ctx.losses.items()
    }
    return last / len(parts)


def _loss_of(ctx: "Context", batch: Batch) -> Tensor:
    ctx.features.clear()
    ctx.notes.clear()
    ctx.batch = batch  # for taps, which see a feature map only
    views = ctx.method.views(ctx, batch)
    ctx.losses = dict(ctx.method.loss(ctx, batch, views))
    return torch.stack(list(ctx.losses.values())).sum()


def _places(domain: Tensor, parts: int) -> list[list[int]]:
    size = len(domain)
    if size % parts:
        raise ValueError(f"a batch of {size} patches cannot be cut into {parts} equal parts")
    places = [torch.nonzero(domain == index).flatten().tolist() for index in torch.unique(domain)]
    if any(len(of_domain) % parts for of_domain in places):
        places = [list(range(size))]
    return [
        sorted(place for own in places for place in own[len(own) * at // parts : len(own) * (at + 1) // parts])
        for at in range(parts)
    ]


def _taken(batch: Batch, places: list[int]) -> Batch:
    return Batch(
        image=batch.image[places],
        label=batch.label[places],
        domain=batch.domain[places],
        case_ids=tuple(batch.case_ids[place] for place in places),
    )


def differences(method: Method, network: nn.Module) -> list[str]:
    """Why training on parts may differ from training on whole batches by more than rounding; [] when it does not."""
    hooks = sorted(WHOLE_BATCH_HOOKS & set(method.hooks()))
    found = [f"the method's {', '.join(hooks)} see one part at a time"] if hooks else []
    norms = any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in network.modules())
    draws = any(isinstance(module, nn.modules.dropout._DropoutNd) and module.p for module in network.modules())
    found += ["batch norms take their statistics from one part at a time"] if norms else []
    return [*found, *(["dropout draws anew for each part"] if draws else [])]
