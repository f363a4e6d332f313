"""Patches of one case for test-time training, cut where the platform's windows are: padded with the mean, 0."""

import itertools
import math
from collections.abc import Callable, Iterator

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


def by_tiles(image: Tensor, patch: Size | None, predict: Callable[[Tensor], Tensor]) -> Tensor:
    """What `predict` makes of patches (1, C, x, y, z) that cover the case, put together; the mean where they overlap.

    Args:
        image: (1, C, X, Y, Z).
        patch: their size (x, y, z); without one, the case is predicted in one piece.
        predict: gives (1, K, x, y, z).

    Returns:
        (1, K, X, Y, Z).
    """
    if patch is None:
        return predict(image)
    room = padded(image, patch)
    starts = [_starts(length, side) for length, side in zip(room.shape[2:], patch, strict=True)]
    whole, seen = image.new_zeros(()), image.new_zeros(1, 1, *room.shape[2:])
    for corner in itertools.product(*starts):
        part = predict(_cut(room, corner, patch))
        if not whole.ndim:
            whole = part.new_zeros(1, part.shape[1], *room.shape[2:])
        _cut(whole, corner, patch).add_(part)
        _cut(seen, corner, patch).add_(1.0)
    edges = [(own - length) // 2 for own, length in zip(room.shape[2:], image.shape[2:], strict=True)]
    return _cut(whole / seen, tuple(edges), (image.shape[2], image.shape[3], image.shape[4]))


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
