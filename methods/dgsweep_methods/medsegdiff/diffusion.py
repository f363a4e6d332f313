"""Gaussian diffusion of masks as pure functions: the schedule of noise, a noisy mask, and one step back."""

import torch
from torch import Tensor
from torch.nn import functional

FIRST_BETA, LAST_BETA = 1e-4, 0.02
"""Linear schedule for 1000 steps (Ho et al., NeurIPS 2020)."""


def kept_signal(steps: int) -> Tensor:
    """Product of 1 - beta up to each diffusion step, for a linear schedule that is as long in sum as that of 1000.

    Returns:
        (steps,) float64, falling from almost 1 to almost 0.
    """
    betas = torch.linspace(FIRST_BETA, LAST_BETA, steps, dtype=torch.float64) * (1000 / steps)
    return torch.cumprod(1.0 - betas.clamp(max=0.999), dim=0)


def encoded(label: Tensor, n_classes: int) -> Tensor:
    """Classes (B, X, Y, Z) as a clean mask (B, K+1, X, Y, Z): 1 in the channel of the class, -1 elsewhere."""
    return 2.0 * functional.one_hot(label.long(), n_classes).movedim(-1, 1).float() - 1.0


def decoded(mask: Tensor) -> Tensor:
    """Class probabilities (B, K+1, ...) of an estimate of the clean mask: its share above -1."""
    share = (mask.clamp(-1.0, 1.0) + 1.0) / 2.0
    return (share + 1e-6) / (share + 1e-6).sum(dim=1, keepdim=True)


def noised(clean: Tensor, noise: Tensor, kept: Tensor) -> Tensor:
    """A draw of q(x_t | x_0) = N(sqrt(kept) x_0, 1 - kept); `kept` broadcasts against the masks."""
    return kept.sqrt() * clean + (1.0 - kept).sqrt() * noise


def cleaned(noisy: Tensor, noise: Tensor, kept: Tensor) -> Tensor:
    """The clean mask that `noised` would have made `noisy` from with this noise, clipped to its range."""
    return ((noisy - (1.0 - kept).sqrt() * noise) / kept.sqrt()).clamp(-1.0, 1.0)


def stepped_back(noisy: Tensor, clean: Tensor, kept: Tensor, before: Tensor, eta: float, fresh: Tensor) -> Tensor:
    """From the noisy mask and an estimate of the clean one to an earlier step. Song et al., DDIM, eq. 12.

    Args:
        noisy: mask at the later step.
        clean: estimate of the clean mask.
        kept: share of signal at the later step.
        before: the same at the earlier step; 1 gives `clean`.
        eta: 0 keeps the noise that is there; 1 draws from q(x_before | x_t, x_0), the posterior of DDPM.
        fresh: standard normal noise.
    """
    noise = (noisy - kept.sqrt() * clean) / (1.0 - kept).sqrt()
    deviation = eta * ((1.0 - before) / (1.0 - kept) * (1.0 - kept / before)).sqrt()
    direction = (1.0 - before - deviation.square()).clamp(min=0.0).sqrt()
    return before.sqrt() * clean + direction * noise + deviation * fresh


def sampling_steps(steps: int, wanted: int) -> list[int]:
    """Diffusion steps that prediction visits, from the last to the first, evenly spread and without repeats."""
    spread = torch.linspace(steps - 1, 0, min(wanted, steps), dtype=torch.float64).round().long().tolist()
    return [int(step) for step in spread]
