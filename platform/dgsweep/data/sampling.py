"""Random patches: a pure function of (seed, step, place in the batch), so that a resumed run needs no state."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dgsweep.data.cache import CachedCase
from dgsweep.data.grid import Shape
from dgsweep.errors import InputError, Problem

PAD_VALUE = 0.0
"""Image value outside the scan: the mean after z-score, as nnU-Net, and as MONAI's sliding window pads at inference."""
UNLABELLED = -1
"""Label of every voxel of an unlabelled case, so that nothing can take it for background."""
_DOMAINS, _ITEM = 0, 1


@dataclass(frozen=True, kw_only=True)
class PatchBatch:
    """Patches of one training step."""

    image: npt.NDArray[np.float32]
    """(B, 1, x, y, z)."""
    label: npt.NDArray[np.int16]
    """(B, x, y, z), classes 0..C; -1 throughout for an unlabelled case. Small, since it is moved and turned."""
    domain: npt.NDArray[np.int64]
    """(B,), index into `PatchSampler.domains`."""
    case_ids: tuple[str, ...]


class PatchSampler:
    """Domain-balanced patches with some centred on foreground, as nnU-Net's data loader draws them."""

    def __init__(
        self, cases: Sequence[CachedCase], patch: Shape, batch: int, foreground_fraction: float, seed: int
    ) -> None:
        if not cases or batch < 1 or min(patch) < 1:
            problem = Problem(
                where="training", found=f"{len(cases)} cases, batch {batch}, patch {patch}", fix="expected at least 1"
            )
            raise InputError("no patches can be drawn", [problem])
        self.domains: tuple[str, ...] = tuple(sorted({case.domain for case in cases}))
        """Names of the domains, in the order of their indices."""
        ordered = sorted(cases, key=lambda case: case.case_id)
        self._by_domain = [[case for case in ordered if case.domain == name] for name in self.domains]
        self._patch, self._batch, self._seed = patch, batch, seed
        kept = round(batch * (1 - foreground_fraction))
        self._first_forced = batch if foreground_fraction == 0 else min(kept, batch - 1)

    def batch(self, step: int) -> PatchBatch:
        """Patches of a step; the same for equal seed, step and cases, whatever was drawn before."""
        image = np.empty((self._batch, 1, *self._patch), dtype=np.float32)  # every patch is filled by _fill
        label = np.empty((self._batch, *self._patch), dtype=np.int16)
        domains = self._domains_of(step)
        case_ids = tuple(
            self._fill(image[place, 0], label[place], int(domain), (step, place))
            for place, domain in enumerate(domains)
        )
        return PatchBatch(image=image, label=label, domain=domains, case_ids=case_ids)

    def _domains_of(self, step: int) -> npt.NDArray[np.int64]:
        """Domain of each place: round robin over the domains in an order shuffled anew each step."""
        order = np.random.default_rng((self._seed, _DOMAINS, step)).permutation(len(self.domains))
        return np.resize(order, self._batch).astype(np.int64)

    def _fill(
        self, image: npt.NDArray[np.float32], label: npt.NDArray[np.int16], domain: int, at: tuple[int, int]
    ) -> str:
        """Copy one patch into place and return its case id."""
        step, place = at
        rng = np.random.default_rng((self._seed, _ITEM, step, place))
        cases = self._by_domain[domain]
        case = cases[int(rng.integers(len(cases)))]
        center = _foreground_voxel(case, rng) if place >= self._first_forced else None
        source, target = _window(_shape(case), self._patch, center, rng)
        if case.image[source].shape != self._patch:
            image.fill(PAD_VALUE)
            label.fill(0)
        image[target] = case.image[source]
        if case.label is None:
            label.fill(UNLABELLED)
        else:
            label[target] = case.label[source]
        return case.case_id


def _shape(case: CachedCase) -> Shape:
    x, y, z = case.image.shape
    return x, y, z


def _foreground_voxel(case: CachedCase, rng: np.random.Generator) -> tuple[int, ...] | None:
    """A random voxel of a random class of the case, None when it has no foreground."""
    classes = sorted(case.foreground)
    if not classes:
        return None
    voxels = case.foreground[classes[int(rng.integers(len(classes)))]]
    return tuple(int(i) for i in np.unravel_index(int(voxels[int(rng.integers(len(voxels)))]), case.image.shape))


def _window(
    shape: Shape, patch: Shape, center: tuple[int, ...] | None, rng: np.random.Generator
) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Where to read in the volume and where to write in the patch.

    A patch longer than the volume is centred on it (the odd voxel comes after, as MONAI's sliding window pads).
    Any other stays inside it, also around a foreground voxel.
    """
    source, target = [], []
    for axis, (length, side) in enumerate(zip(shape, patch, strict=True)):
        room = length - side
        if room <= 0:
            begin = -(-room // 2)
        elif center is None:
            begin = int(rng.integers(room + 1))
        else:
            begin = min(max(center[axis] - side // 2, 0), room)
        low, high = max(begin, 0), min(begin + side, length)
        source.append(slice(low, high))
        target.append(slice(low - begin, high - begin))
    return tuple(source), tuple(target)
