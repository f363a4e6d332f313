"""The smallest network and batch on which a method can show what it does: for conformance, and for a method's tests."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor, nn

from dgsweep.method.base import Batch

PATCH = (16, 16, 8)


class ToyNetwork(nn.Module):
    """Two blocks of which the first has an instance norm, and the taps that every backbone publishes."""

    n_classes = 2

    def __init__(self, in_channels: int, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.stem = nn.Conv3d(in_channels, 8, 3, padding=1)
            self.norm = nn.InstanceNorm3d(8, affine=True)
            self.deep = nn.Conv3d(8, 8, 3, padding=1)
            self.head = nn.Conv3d(8, 2, 1)
        self.block, self.decoded = nn.ReLU(), nn.ReLU()
        self.condition: Tensor | None = None
        self.taps = {
            "stem": self.stem,
            "enc0.pre_norm": self.stem,
            "enc0": self.block,
            "enc1.pre_norm": self.deep,
            "enc1": self.decoded,
            "bottleneck": self.deep,
            "decoded": self.decoded,
        }

    def forward(self, image: Tensor) -> list[Tensor]:
        """Logits (B, 2, X, Y, Z)."""
        feature = self.block(self.norm(self.stem(image)))
        feature = feature if self.condition is None else feature + self.condition
        return [self.head(self.decoded(self.deep(feature)))]

    @contextmanager
    def conditioned(self, noisy: Tensor, step: Tensor) -> Iterator[None]:
        """Inside, the network sees a noisy mask (B, 2, X, Y, Z) and the diffusion step (B, Z), as denoising ones do."""
        self.condition = noisy[:, 1:] + step[:, None, None, None] / 1000
        try:
            yield
        finally:
            self.condition = None


def toy_batch(seed: int, *, n: int = 4, n_domains: int = 2) -> Batch:
    """Bright ellipsoids on noise; the second domain has inverted contrast and another scale."""
    generator = torch.Generator().manual_seed(seed)
    axes = torch.meshgrid(*[torch.linspace(-1, 1, size) for size in PATCH], indexing="ij")
    images, labels = [], []
    for index in range(n):
        centre = torch.rand(3, generator=generator) * 0.8 - 0.4
        distance = sum((axis - shift) ** 2 for axis, shift in zip(axes, centre, strict=True))
        label = torch.as_tensor(distance < 0.2).long()
        sign = 1.0 if index % n_domains == 0 else -0.7
        images.append(sign * label.float() + 0.3 * torch.randn(PATCH, generator=generator))
        labels.append(label)
    domain = torch.arange(n) % n_domains
    return Batch(
        image=torch.stack(images)[:, None],
        label=torch.stack(labels),
        domain=domain,
        case_ids=tuple(f"toy{i}" for i in range(n)),
    )


def hidden_toy_batch(seed: int) -> Batch:
    """A toy batch whose labels are hidden: -1 in every voxel."""
    shown = toy_batch(seed)
    return replace(shown, label=torch.full_like(shown.label, -1))


def toy_unlabelled(seed: int) -> Batch:
    """A toy batch of other patches whose labels are hidden."""
    return replace(hidden_toy_batch(seed + 10_000), case_ids=tuple(f"free{i}" for i in range(4)))


def odd_batches() -> dict[str, Callable[[int], Batch]]:
    """Name -> toy batches such as real data holds now and then."""

    def empty(step: int) -> Batch:
        batch = toy_batch(step)
        return replace(batch, label=torch.zeros_like(batch.label))

    def constant(step: int) -> Batch:
        batch = toy_batch(step)
        return replace(batch, image=torch.ones_like(batch.image))

    return {"empty foreground": empty, "constant image": constant, "batch of two": lambda step: toy_batch(step, n=2)}
