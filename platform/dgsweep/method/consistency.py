"""How far two predictions are apart, for methods that want them alike."""

import torch
from torch import Tensor


def kl_divergence(reference: Tensor, logits: Tensor) -> Tensor:
    """KL(softmax(reference) || softmax(logits)), summed over classes and averaged over samples and voxels, float32.

    Both are logits (B, K+1, X, Y, Z). Torch's own `kl_div` with `mean` divides by the number of classes too.
    """
    expected, found = torch.log_softmax(reference.float(), dim=1), torch.log_softmax(logits.float(), dim=1)
    return (expected.exp() * (expected - found)).sum(dim=1).mean()


def rms_normalised(direction: Tensor) -> Tensor:
    """Each sample of a direction (B, ...) scaled to a root mean square of 1; zeros stay zeros.

    Unlike a unit L2 norm this does not fade with the number of entries.
    """
    flat = direction.flatten(1)
    size = flat.square().mean(dim=1).sqrt().clamp_min(1e-20)
    return (flat / size[:, None]).view_as(direction)
