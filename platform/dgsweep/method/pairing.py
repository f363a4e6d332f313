"""Which other sample of the batch a sample is paired with, for methods that mix domains."""

import torch
from torch import Tensor


def partner_from_other_domain(domain: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw for each sample a random sample of another domain.

    Args:
        domain: (B,) domain of each sample.
        generator: on the device of `domain`.

    Returns:
        (B,) place of the partner, the sample itself where the batch holds no other domain; and (B,) whether it has one.
    """
    foreign = domain[:, None] != domain[None, :]
    draws = torch.rand(foreign.shape, generator=generator, device=domain.device)
    found = foreign.any(dim=1)
    own = torch.arange(len(domain), device=domain.device)
    return torch.where(found, draws.masked_fill(~foreign, -1.0).argmax(dim=1), own), found
