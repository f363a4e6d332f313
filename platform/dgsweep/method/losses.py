"""The segmentation loss that every method shares: soft Dice plus cross-entropy, with deep supervision."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

SMOOTH = 1e-5
"""nnU-Net's smoothing term of the soft Dice."""


def soft_dice_loss(logits: Tensor, label: Tensor, mask: Tensor | None = None) -> Tensor:
    """One minus the mean soft Dice over samples and foreground classes (nnU-Net v2, batch_dice off).

    Args:
        logits: (B, K+1, X, Y, Z), class 0 is the background.
        label: (B, X, Y, Z) integer classes.
        mask: (B, X, Y, Z), the voxels that count; None for all. A sample without any has no loss.
    """
    probability = torch.softmax(logits.float(), dim=1)[:, 1:]
    truth = torch.stack([label == k for k in range(1, logits.shape[1])], dim=1).to(probability.dtype)
    if mask is not None:
        probability, truth = probability * mask[:, None], truth * mask[:, None]
    axes = (2, 3, 4)
    overlap = (probability * truth).sum(axes)
    total = probability.sum(axes) + truth.sum(axes)
    return 1.0 - ((2.0 * overlap + SMOOTH) / (total + SMOOTH)).mean()


def segmentation_loss(logits: Tensor, label: Tensor, mask: Tensor | None = None) -> Tensor:
    """Soft Dice plus cross-entropy, 1:1 (nnU-Net v2). Shapes as in `soft_dice_loss`."""
    if mask is None:
        return soft_dice_loss(logits, label) + functional.cross_entropy(logits.float(), label)
    each = functional.cross_entropy(logits.float(), label, reduction="none")
    return soft_dice_loss(logits, label, mask) + (each * mask).sum() / mask.sum().clamp_min(1)


def deep_supervision_weights(n_outputs: int) -> tuple[float, ...]:
    """1/2^i over the outputs from fine to coarse, the coarsest 0, normalised to sum 1 (nnU-Net v2)."""
    raw = [0.5**i for i in range(n_outputs)]
    if n_outputs > 1:
        raw[-1] = 0.0
    return tuple(weight / sum(raw) for weight in raw)


def supervised_loss(outputs: Sequence[Tensor], label: Tensor, mask: Tensor | None = None) -> Tensor:
    """Weighted sum of the segmentation loss over the outputs of a network, finest first.

    Outputs coarser than the label are compared with label and mask at their own size (nearest neighbour).
    """
    weights = deep_supervision_weights(len(outputs))
    terms = [
        weight * segmentation_loss(logits, _label_at(label, logits), None if mask is None else _label_at(mask, logits))
        for weight, logits in zip(weights, outputs, strict=True)
        if weight
    ]
    return torch.stack(terms).sum()


def _label_at(label: Tensor, logits: Tensor) -> Tensor:
    if label.shape[1:] == logits.shape[2:]:
        return label
    return functional.interpolate(label[:, None].float(), size=logits.shape[2:], mode="nearest")[:, 0].long()
