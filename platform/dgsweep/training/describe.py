"""What a backbone is, once it is built for a patch."""

from typing import Any

from dgsweep.errors import ConfigError
from dgsweep.method.catalog import load_implementation, network_declaration
from dgsweep.networks.base import NetworkTask
from dgsweep.networks.builder import build_network, count_parameters


def describe(name: str, patch: str, spacing_mm: str) -> dict[str, Any]:
    """Build a backbone for one input channel and two classes and say what it is.

    Args:
        name: of the backbone.
        patch: `x,y,z` in voxels.
        spacing_mm: `x,y,z` in mm.

    Raises:
        ConfigError: a triple cannot be read.
        MethodError: no such backbone.
    """
    declaration = network_declaration(name)
    size = _triple(patch, "--patch")
    task = NetworkTask(
        in_channels=1,
        n_classes=2,
        patch=(int(size[0]), int(size[1]), int(size[2])),
        spacing_mm=_triple(spacing_mm, "--spacing-mm"),
    )
    network = build_network(declaration, load_implementation(declaration), task, seed=0)
    return {
        "name": declaration.name,
        "summary": declaration.summary,
        "dims": declaration.dims,
        "patch": list(task.patch),
        "parameters": count_parameters(network),
        "taps": sorted(network.taps),
        "paper": declaration.paper,
        "licence": declaration.licence,
        "options": {key: option.default for key, option in declaration.options.items()},
    }


def _triple(text: str, option: str) -> tuple[float, float, float]:
    try:
        x, y, z = (float(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(f"{option}: expected three numbers x,y,z, found {text!r}") from None
    return x, y, z
