"""Random draws that methods share, all from one generator, so that a resumed run draws the same."""

import numpy as np
import torch
from torch import Tensor


def coin(probability: float, generator: torch.Generator) -> bool:
    """True with the given probability."""
    return bool(torch.rand((), generator=generator, device=generator.device) < probability)


def symmetric_beta(alpha: float, n: int, generator: torch.Generator) -> Tensor:
    """Draw from Beta(alpha, alpha), (n,) float32; torch's own distribution takes no generator."""
    seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))
    drawn = np.random.default_rng(seed).beta(alpha, alpha, size=n)
    return torch.as_tensor(drawn, dtype=torch.float32, device=generator.device)


def draw_partners(n: int, generator: torch.Generator, domain: Tensor | None = None) -> Tensor:
    """Another sample for each sample of a batch, (n,) indices, uniform over those that are allowed.

    Never the sample itself unless n is 1. With `domain` (n,) a sample of another domain, where the batch has one.
    """
    score = torch.rand(n, n, generator=generator, device=generator.device)
    score = score + (~torch.eye(n, dtype=torch.bool, device=generator.device)).float()
    if domain is not None:
        score = score + 2.0 * (domain[:, None] != domain[None, :]).to(score)
    return score.argmax(dim=1)
