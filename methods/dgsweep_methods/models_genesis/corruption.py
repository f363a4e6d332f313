"""The three corruptions of Models Genesis, each for all samples of a batch at once, on images in [0, 1]."""

from collections.abc import Sequence

import torch
from torch import Tensor

from dgsweep.method.corruption import Sides, bezier, cube_draws, shuffled
from dgsweep.method.volume import uniform

WINDOW = 10
"""The side of a shuffled window is at most this fraction of the patch's (released code)."""
COVER = 0.85
"""Share of the cubes that is shuffled: 10 000 windows of the released code, 24 voxels each on average, on a patch of
64 x 64 x 32 leave exp(-1.9) of the voxels alone."""
BOXES, NEXT = 5, 0.95
"""At most so many boxes, each after another one with this probability (released code)."""
INNER = (1 / 6, 1 / 3)
"""Sides of the boxes that are painted over, of the patch's (released code)."""
OUTER = (3 / 7, 4 / 7)
"""Sides of the boxes that are left when all around them is painted over, of the patch's (released code)."""


def window_sides(size: Sequence[int], generator: torch.Generator) -> Sides:
    """Sides of the cubes, each from 1 to a tenth of the patch's, to 2 where that is less."""
    drawn = [
        int(torch.randint(1, max(2, n // WINDOW) + 1, (), generator=generator, device=generator.device)) for n in size
    ]
    return drawn[0], drawn[1], drawn[2]


def locally_shuffled(image: Tensor, sides: Sides, generator: torch.Generator) -> Tensor:
    """Voxels in a random order within most cubes of each sample (B, C, X, Y, Z); the other cubes stay."""
    chosen = cube_draws(image, sides, generator) < COVER
    return torch.where(chosen, shuffled(image, sides, generator), image)


def curved(unit: Tensor, generator: torch.Generator) -> Tensor:
    """Each channel of each sample (B, C, X, Y, Z) through a Bezier curve of its own, half of the samples' falling."""
    n, channels = unit.shape[:2]
    control = uniform(0.0, 1.0, (n * channels, 2, 2), generator, unit.device)
    falling = uniform(0.0, 1.0, (n,), generator, unit.device) < 0.5
    rows = bezier(unit.flatten(0, 1).flatten(1), control, falling.repeat_interleave(channels))
    return rows.reshape(unit.shape)


def boxes(n: int, size: Sequence[int], share: tuple[float, float], least: int, generator: torch.Generator) -> Tensor:
    """Where `least` to 5 boxes lie, True inside of them: (n, 1, X, Y, Z).

    Args:
        n: number of samples, each with boxes of its own.
        size: (X, Y, Z).
        share: smallest and largest side of a box, of the patch's.
        least: so many boxes there are for sure.
        generator: stream of all draws; its device is that of the result.
    """
    device = generator.device
    more = uniform(0.0, 1.0, (n, BOXES), generator, device) < NEXT
    more[:, :least] = True
    inside = more.cumprod(dim=1).bool().view(n, BOXES, 1, 1, 1)
    for axis, length in enumerate(size):
        side = (length * uniform(*share, (n, BOXES, 1), generator, device)).round().clamp_min(1.0)
        start = ((length - side + 1) * uniform(0.0, 1.0, (n, BOXES, 1), generator, device)).floor()
        place = torch.arange(length, device=device)
        own = (place >= start) & (place < start + side)
        inside = inside & own.view(n, BOXES, *[-1 if one == axis else 1 for one in range(3)])
    return inside.any(dim=1, keepdim=True)


def painted(unit: Tensor, inner: Tensor, generator: torch.Generator) -> Tensor:
    """Uniform noise in small boxes of the samples where `inner` (B,) holds, and all around large ones in the others."""
    n, size = len(unit), unit.shape[2:]
    noise = uniform(0.0, 1.0, tuple(unit.shape), generator, unit.device)
    hidden = torch.where(
        inner.view(-1, 1, 1, 1, 1),
        boxes(n, size, INNER, 0, generator),
        ~boxes(n, size, OUTER, 1, generator),
    )
    return torch.where(hidden, noise, unit)
