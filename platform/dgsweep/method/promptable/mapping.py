"""Original checkpoints to transformers and back, what architecture a checkpoint has, and where it does not fit it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from dgsweep.errors import Problems
from dgsweep.method.promptable.architecture import is_hiera
from dgsweep.method.promptable.layout import SAM, SAM2, UNUSED

if TYPE_CHECKING:
    from torch import Tensor

Shapes = Mapping[str, tuple[int, ...]]
_SHOWN = 3
"""Keys of each kind that a report names; the rest are counted."""
_POINTS = "prompt_encoder.point_embed"
PROMPT_POSITION = "prompt_encoder.shared_embedding.positional_embedding"
IMAGE_POSITION = "shared_image_embedding.positional_embedding"
_POINT_KINDS = 4
"""Negative point, positive point, and the two corners of a box."""


def to_transformers(state: Mapping[str, "Tensor"], family: str) -> dict[str, "Tensor"]:
    """Parameters under transformers' names. A name that no rule knows keeps its own, so that a strict load shows it.

    SAM and SAM 2 hold the random matrix of the positions once, transformers twice; SAM 2's four point embeddings
    (1, C) become one (4, C).
    """
    import torch

    mapped = {rename(name, family): value for name, value in state.items() if name not in UNUSED}
    if PROMPT_POSITION in mapped:
        mapped[IMAGE_POSITION] = mapped[PROMPT_POSITION]
    points = [f"{_POINTS}.{kind}.weight" for kind in range(_POINT_KINDS)]
    if is_hiera(family) and all(name in mapped for name in points):
        mapped[f"{_POINTS}.weight"] = torch.cat([mapped.pop(name) for name in points])
    return mapped


def to_original(state: Mapping[str, "Tensor"], family: str) -> dict[str, "Tensor"]:
    """Inverse of `to_transformers`: the layout of the packages segment-anything and sam2."""
    unmapped = dict(state)
    position = unmapped.pop(IMAGE_POSITION, None)
    if position is not None:  # files of tied parameters keep either of the two
        unmapped.setdefault(PROMPT_POSITION, position)
    joined = unmapped.pop(f"{_POINTS}.weight", None) if is_hiera(family) else None
    if joined is not None:
        for kind, row in enumerate(joined.split(1)):
            unmapped[f"{_POINTS}.{kind}.weight"] = row
    return {rename(name, family, backwards=True): value for name, value in unmapped.items()}


def rename(name: str, family: str, *, backwards: bool = False) -> str:
    """A parameter's name in transformers (backwards: in the original); unchanged where no rule knows it."""
    for pattern, template in _rules(is_hiera(family), backwards):
        found = pattern.fullmatch(name)
        if found:
            return found.expand(template)
    return name


@cache
def _rules(hiera: bool, backwards: bool) -> tuple[tuple[re.Pattern[str], str], ...]:
    rules = []
    for row in SAM2 if hiera else SAM:
        source, target = reversed(row) if backwards else row
        numbers = source.count("*")
        pattern = re.escape(source).replace(r"\*", r"(\d+)") + r"(|\.weight|\.bias)"
        for place in range(1, numbers + 1):
            target = target.replace("*", rf"\g<{place}>", 1)
        rules.append((re.compile(pattern), target + rf"\g<{numbers + 1}>"))
    return tuple(rules)


@dataclass(frozen=True)
class Mismatch:
    """Where a checkpoint and an architecture differ; names are those of the original layout."""

    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    shapes: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...]
    """Name, shape in the checkpoint, shape in the architecture."""

    def __bool__(self) -> bool:
        return bool(self.missing or self.unexpected or self.shapes)

    def report(self, where: str, problems: Problems) -> None:
        """Note what is wrong, the first keys of each kind by name."""
        if self.missing:
            problems.add(where, _first("missing", self.missing), "the file is cut off, or of another model")
        if self.unexpected:
            problems.add(where, _first("unexpected", self.unexpected), "the file is of another model")
        if self.shapes:
            first = "; ".join(f"{name} is {found}, expected {wanted}" for name, found, wanted in self.shapes[:_SHOWN])
            problems.add(where, f"{len(self.shapes)} of another shape: {first}", "the file is of another architecture")


def compare(found: Shapes, expected: Shapes) -> Mismatch:
    """Differences between a checkpoint's parameters and those that an architecture has, in the original layout."""
    return Mismatch(
        missing=tuple(name for name in expected if name not in found),
        unexpected=tuple(name for name in found if name not in expected and name not in UNUSED),
        shapes=tuple(
            (name, tuple(found[name]), tuple(shape))
            for name, shape in expected.items()
            if name in found and tuple(found[name]) != tuple(shape)
        ),
    )


def _first(kind: str, names: tuple[str, ...]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{len(names)} {kind} keys: {', '.join(names[:_SHOWN])}{more}"
