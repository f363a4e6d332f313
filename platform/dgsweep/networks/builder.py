"""One door to every backbone: by name, initialised from a seed."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from dgsweep.config.declaration import NetworkDeclaration
from dgsweep.networks.base import NetworkTask, SegmentationNetwork


def build_network(
    declaration: NetworkDeclaration, implementation: Any, task: NetworkTask, *, seed: int
) -> SegmentationNetwork:
    """Build a backbone with weights that depend on `seed` only, leaving torch's global stream as it was."""
    options: Mapping[str, Any] = {name: option.default for name, option in declaration.options.items()} | dict(
        task.options
    )
    full = NetworkTask(
        in_channels=task.in_channels,
        n_classes=task.n_classes,
        patch=task.patch,
        spacing_mm=task.spacing_mm,
        deep_supervision=task.deep_supervision,
        options=options,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network: SegmentationNetwork = implementation(full)
    network.to(memory_format=network.memory_format)  # type: ignore[call-overload]  # torch has it, its stubs do not
    return network


def count_parameters(network: nn.Module) -> int:
    """Number of trainable values."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
