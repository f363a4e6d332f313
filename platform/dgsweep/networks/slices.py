"""A 2D backbone as a network of volumes: every slice along z by itself, so that any method meets the same shapes."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from dgsweep.networks.base import Place, SegmentationNetwork


def to_slices(volume: Tensor) -> Tensor:
    """(B, C, X, Y, Z) as (B * Z, C, X, Y), the slices of one volume together."""
    return volume.movedim(-1, 1).flatten(0, 1)


class SliceWise(nn.Module):
    """Runs a 2D network on every slice of (B, C, X, Y, Z); its batch is B * Z slices, those of one volume together."""

    def __init__(self, core: nn.Module) -> None:
        super().__init__()
        self.core = core
        self.depth = 1

    def forward(self, image: Tensor) -> list[Tensor]:
        """Logits (B, K+1, X, Y, Z) of each output of the 2D network, finest first."""
        self.depth = image.shape[-1]
        outputs = self.core(to_slices(image).contiguous())
        return [self.to_volume(out) for out in ([outputs] if isinstance(outputs, Tensor) else outputs)]

    def to_volume(self, slices: Tensor) -> Tensor:
        """(B * Z, C, X, Y) as (B, C, X, Y, Z), with the Z of the volume that is under way."""
        return slices.unflatten(0, (-1, self.depth)).movedim(1, -1)


def slice_wise(
    core: nn.Module,
    taps: Mapping[str, nn.Module | Place],
    *,
    memory_format: torch.memory_format | None = None,
    kind: type[SegmentationNetwork] = SegmentationNetwork,
) -> SegmentationNetwork:
    """A 2D network and its taps, which put out (B, C, X, Y), as a network of volumes whose taps put out volumes."""
    sliced = SliceWise(core)
    places = {name: _placed(tap, sliced) for name, tap in taps.items()}
    return kind(sliced, places, memory_format=memory_format or torch.contiguous_format)


def _placed(tap: nn.Module | Place, sliced: SliceWise) -> Place:
    if isinstance(tap, nn.Module):
        return Place(module=tap, to_map=sliced.to_volume, from_map=to_slices)
    inner = tap

    def to_map(output: Tensor) -> Tensor:
        return sliced.to_volume(inner.to_map(output))

    def from_map(volume: Tensor) -> Tensor:
        return inner.from_map(to_slices(volume))

    return Place(module=inner.module, to_map=to_map, from_map=from_map)


def in_plane(sizes: Sequence[int]) -> tuple[int, int]:
    """Width and height (x, y) of the slices of a patch (x, y, z)."""
    return int(sizes[0]), int(sizes[1])
