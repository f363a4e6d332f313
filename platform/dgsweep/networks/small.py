"""The small build of a backbone, and the patches that planning allows it: for conformance and for tests."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from dgsweep.config.declaration import NetworkDeclaration
from dgsweep.networks.base import NetworkTask, SegmentationNetwork
from dgsweep.networks.builder import build_network
from dgsweep.plan.grid import NetworkEntry, nearest_patch

CLASSES, CHANNELS = 3, 2
"""Of the small build: classes with the background, and input channels."""
SPACING_MM = (1.0, 1.0, 1.0)
Size = tuple[int, int, int]


def make_network(
    declaration: NetworkDeclaration,
    patch: Size,
    *,
    seed: int = 0,
    deep_supervision: bool = True,
    options: Mapping[str, Any] | None = None,
) -> SegmentationNetwork:
    """The small build for a patch, two input channels and three classes."""
    return build_network(
        declaration, implementation_of(declaration), make_task(declaration, patch, deep_supervision, options), seed=seed
    )


def make_task(
    declaration: NetworkDeclaration,
    patch: Size,
    deep_supervision: bool = True,
    options: Mapping[str, Any] | None = None,
) -> NetworkTask:
    """What the small build is built for."""
    return NetworkTask(
        in_channels=CHANNELS,
        n_classes=CLASSES,
        patch=patch,
        spacing_mm=SPACING_MM,
        deep_supervision=deep_supervision,
        options=declaration.small if options is None else options,
    )


def implementation_of(declaration: NetworkDeclaration) -> Any:
    """The function that the declaration names."""
    module, _, attribute = declaration.implementation.partition(":")
    return getattr(import_module(module), attribute)


def small_entry(declaration: NetworkDeclaration) -> NetworkEntry:
    """The backbone with the options of its small build."""
    options = {name: option.default for name, option in declaration.options.items()} | dict(declaration.small)
    return NetworkEntry(declaration=declaration, options=options)


def smallest_patch(declaration: NetworkDeclaration) -> Size:
    """The smallest patch (x, y, z) that planning allows."""
    return nearest_patch((1, 1, 1), small_entry(declaration))


def patches(declaration: NetworkDeclaration) -> list[Size]:
    """Some patches that planning allows: the smallest, and it one multiple longer along each axis in turn."""
    least, multiple = smallest_patch(declaration), small_entry(declaration).multiple
    longer = [tuple(side + unit * (axis == own) for own, (side, unit) in enumerate(zip(least, multiple, strict=True)))
              for axis in range(3)]  # fmt: skip
    return [least, *((x, y, z) for x, y, z in longer)]
