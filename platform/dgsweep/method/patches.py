"""Patches of one case for test-time training, cut where the platform's windows are: padded with the mean, 0."""

import itertools
import math
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional

Size = tuple[int, int, int]


def padded(image: Tensor, patch: Size) -> Tensor:
    """The case (1, C, X, Y, Z), with zeros around it where it is smaller than a patch."""
    missing = [max(0, side - length) for side, length in zip(patch, image.shape[2:], strict=True)]
    around = [(room // 2, room - room // 2) for room in reversed(missing)]
    return functional.pad(image, [width for pair in around for width in pair]) if any(missing) else image


def tiles(image: Tensor, patch: Size | None) -> Iterator[Tensor]:
    """Patches (1, C, x, y, z) that cover the case with the least overlap, evenly spread; without a size, the case."""
    if patch is None:
        yield image
        return
    image = padded(image, patch)
    starts = [_starts(length, side) for length, side in zip(image.shape[2:], patch, strict=True)]
    for corner in itertools.product(*starts):
        yield _cut(image, corner, patch)


def random_patch(image: Tensor, patch: Size | None, generator: torch.Generator) -> Tensor:
    """One patch (1, C, x, y, z) from a uniformly drawn place inside the case; without a size, the case."""
    if patch is None:
        return image
    image = padded(image, patch)
    rooms = [length - side + 1 for length, side in zip(image.shape[2:], patch, strict=True)]
    corner = [int(torch.randint(room, (1,), generator=generator, device=generator.device)) for room in rooms]
    return _cut(image, (corner[0], corner[1], corner[2]), patch)


def _starts(length: int, side: int) -> list[int]:
    count = math.ceil(length / side)
    return [round(index * (length - side) / max(1, count - 1)) for index in range(count)]


def _cut(image: Tensor, corner: tuple[int, ...], patch: Size) -> Tensor:
    x, y, z = (slice(start, start + side) for start, side in zip(corner, patch, strict=True))
    return image[:, :, x, y, z]
