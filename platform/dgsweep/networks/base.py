"""What every backbone is given and what it gives back."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class NetworkTask:
    """What a backbone is built for."""

    in_channels: int
    n_classes: int
    """Classes including the background."""
    patch: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    deep_supervision: bool = True
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Place:
    """A module to tap whose output is no feature map (B, C, X, Y, Z) yet, such as tokens or slices."""

    module: nn.Module
    to_map: Callable[[Tensor], Tensor]
    """From the module's output to (B, C, X, Y, Z)."""
    from_map: Callable[[Tensor], Tensor]
    """Back again."""


class SegmentationNetwork(nn.Module):
    """A backbone with a list of outputs, finest first (only one in evaluation), and named taps.

    Args:
        core: maps (B, C, X, Y, Z) to logits (B, K+1, X, Y, Z), or in training to a sequence or stack of them.
        taps: tap name -> submodule whose output (B, C, X, Y, Z) can be observed or changed, or a `Place`.
            `decoded` is the one whose output the last layer turns into the finest logits, at their size.
        memory_format: layout that is fastest for this backbone on a CPU.
    """

    def __init__(
        self,
        core: nn.Module,
        taps: Mapping[str, nn.Module | Place],
        *,
        memory_format: torch.memory_format = torch.contiguous_format,
    ) -> None:
        super().__init__()
        self.core = core
        self.points = nn.ModuleList()
        self.taps = {name: self._point(tap) if isinstance(tap, Place) else tap for name, tap in taps.items()}
        self.memory_format = memory_format

    def _point(self, place: Place) -> nn.Module:
        """A module that sees the output of `place` as a feature map; what it returns goes on through the network."""
        point = nn.Identity()
        place.module.register_forward_hook(lambda _module, _input, output: place.from_map(point(place.to_map(output))))
        self.points.append(point)
        return point

    def forward(self, image: Tensor) -> list[Tensor]:
        """Logits of each output, finest first. image: (B, C, X, Y, Z)."""
        outputs = self.core(image.contiguous(memory_format=self.memory_format))
        if isinstance(outputs, Tensor) and outputs.ndim == 6:
            return list(outputs.unbind(dim=1))
        return [outputs] if isinstance(outputs, Tensor) else list(outputs)
