"""What a backbone is, once it is built for a patch."""

from collections.abc import Sequence
from typing import Any

from dgsweep.config.overrides import apply_overrides
from dgsweep.errors import ConfigError, Problems
from dgsweep.method.catalog import load_implementation, network_declaration
from dgsweep.networks.base import NetworkTask
from dgsweep.networks.builder import build_network, count_parameters
from dgsweep.networks.counting import FLOPS_MEAN, MEMORY_MEANS, cost
from dgsweep.plan.grid import NetworkEntry, nearest_patch, patch_problem
from dgsweep.plan.hyperparameters import resolve_values


def describe(
    name: str, patch: str, spacing_mm: str, *, classes: int = 2, settings: Sequence[str] = ()
) -> dict[str, Any]:
    """Build a backbone for one input channel and say what it is and what one patch costs; nothing is computed.

    Args:
        name: of the backbone.
        patch: `x,y,z` in voxels.
        spacing_mm: `x,y,z` in mm.
        classes: with the background.
        settings: options as `key=value`.

    Raises:
        ConfigError: a triple cannot be read, an option is not allowed, or the backbone cannot take the patch; every
            problem at once.
        MethodError: no such backbone.
    """
    entry, task = wanted(name, patch, spacing_mm, classes=classes, settings=settings)
    declaration = entry.declaration
    network = build_network(declaration, load_implementation(declaration), task, seed=0)
    found = cost(network, task)
    return {
        "name": declaration.name,
        "summary": declaration.summary,
        "dims": declaration.dims,
        "patch": list(task.patch),
        "spacing_mm": list(task.spacing_mm),
        "classes": classes,
        "options": dict(entry.options),
        "parameters": count_parameters(network),
        "flops": found.flops,
        "flops_mean": FLOPS_MEAN,
        "peak_activation_bytes": found.activation_bytes,
        "peak_activation_means": MEMORY_MEANS,
        "taps": {tap: list(shape) for tap, shape in found.taps.items()},
        "patch_multiple": list(entry.multiple),
        "least_patch": list(nearest_patch((1, 1, 1), entry)),
        "source": declaration.source,
        "licence": declaration.licence,
        "paper": declaration.paper,
        "pretrained": declaration.pretrained,
    }


def wanted(
    name: str, patch: str, spacing_mm: str, *, classes: int, settings: Sequence[str]
) -> tuple[NetworkEntry, NetworkTask]:
    """A backbone with its options and the task for which it is to be built; arguments and errors as `describe`."""
    problems = Problems()
    entry = _entry(name, settings, problems)
    size, spacing = _patch(patch, entry, problems), _triple(spacing_mm, "--spacing-mm", problems)
    if not 2 <= classes <= 1000:
        problems.add("--classes", f"found {classes}", "classes with the background: 2 to 1000")
    problems.raise_if_any(ConfigError, f"{name} cannot be built")
    task = NetworkTask(in_channels=1, n_classes=classes, patch=size, spacing_mm=spacing, options=entry.options)
    return entry, task


def _entry(name: str, settings: Sequence[str], problems: Problems) -> NetworkEntry:
    declaration = network_declaration(name)
    given: dict[str, Any] = {}
    apply_overrides(given, settings, problems)
    options = resolve_values(declaration.options, given, "--set", problems, what="option")
    return NetworkEntry(declaration=declaration, options=options)


def _patch(text: str, entry: NetworkEntry, problems: Problems) -> tuple[int, int, int]:
    sides = _triple(text, "--patch", problems)
    x, y, z = (int(side) for side in sides)
    if (x, y, z) != sides:
        problems.add("--patch", f"found {text!r}", "whole numbers of voxels x,y,z")
    elif found := patch_problem((x, y, z), entry):
        nearest = ",".join(map(str, nearest_patch((x, y, z), entry)))
        problems.add("--patch", found, f"the nearest patch is {nearest}")
    return x, y, z


def _triple(text: str, option: str, problems: Problems) -> tuple[float, float, float]:
    try:
        x, y, z = (float(part) for part in text.split(","))
    except ValueError:
        x = y = z = 0.0
    if not all(0 < value < 1e5 for value in (x, y, z)):
        problems.add(option, f"found {text!r}", "three positive numbers x,y,z")
        return 64.0, 64.0, 32.0
    return x, y, z
