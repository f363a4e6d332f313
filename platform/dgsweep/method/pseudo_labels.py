"""Labels that a network gives to unlabelled patches, and which of their voxels to believe."""

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

NEIGHBOURS = ndimage.generate_binary_structure(3, 2)
"""Voxels that share a face or an edge are connected (18 neighbours)."""


def confident_labels(logits: Tensor, confidence: float) -> tuple[Tensor, Tensor]:
    """Most probable class of logits (B, K+1, X, Y, Z) and where its probability reaches `confidence`: (B, X, Y, Z)."""
    probability, label = torch.softmax(logits.detach().float(), dim=1).max(dim=1)
    return label, probability >= confidence


def largest_components(label: Tensor) -> Tensor:
    """Label (B, X, Y, Z) where only the largest connected component of each foreground class is left, by SciPy."""
    classes = label.cpu().numpy()
    kept = np.zeros_like(classes)
    for before, after in zip(classes, kept, strict=True):
        for structure in np.unique(before[before > 0]):
            parts, _ = ndimage.label(before == structure, NEIGHBOURS)
            after[parts == np.bincount(parts.ravel())[1:].argmax() + 1] = structure
    return torch.as_tensor(kept, device=label.device)
