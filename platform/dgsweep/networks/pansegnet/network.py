"""PanSegNet: nnU-Net v1's 3D U-Net whose bottleneck goes through transformer layers with linear attention."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from dgsweep.networks.base import NetworkTask, SegmentationNetwork
from dgsweep.networks.linear_attention import TransformerLayer, clone_layers
from dgsweep.networks.planned import planned_taps, planned_topology, planned_unet, planned_widths, replace_bottleneck

HEADS = 8
WAVELENGTH = 10_000.0

Size = tuple[int, ...]


def build(task: NetworkTask) -> SegmentationNetwork:
    """Build the network; taps are those of `nnunet`, and `bottleneck.convolved`, which the attention reads.

    Raises:
        PlanError: the patch cannot be halved twice.
    """
    topology = planned_topology("pansegnet", task.patch, task.spacing_mm)
    core = planned_unet(task, topology, generation="v1")
    size = tuple(side // step for side, step in zip(task.patch, topology.multiple, strict=True))
    convolved = core.bottleneck
    attention = BottleneckAttention(planned_widths(task, topology)[-1], size, task)
    replace_bottleneck(core, nn.Sequential(convolved, attention))
    return SegmentationNetwork(core, planned_taps(core) | {"bottleneck.convolved": convolved})


class BottleneckAttention(nn.Module):
    """Replaces a feature map (B, C, X, Y, Z) by what transformer layers make of its voxels; nothing goes around it."""

    def __init__(self, channels: int, size: Size, task: NetworkTask) -> None:
        super().__init__()
        width = int(task.options["token_width"])
        self.to_tokens, self.from_tokens = nn.Linear(channels, width), nn.Linear(width, channels)
        self.register_buffer("position", position_map(size, width), persistent=False)
        layers = [
            TransformerLayer(
                width, width, heads=HEADS, dropout=float(task.options["dropout"]), kind=task.options["attention"]
            )
            for _ in range(int(task.options["layers"]))
        ]
        if task.options["init"] == "cloned":
            clone_layers(layers)
        self.layers = nn.ModuleList(layers)

    def forward(self, feature: Tensor) -> Tensor:
        """(B, C, X, Y, Z) to the same shape."""
        size = feature.shape[2:]
        tokens = self.to_tokens(feature.flatten(2).transpose(1, 2))
        tokens = tokens + self._position(size).flatten(2).transpose(1, 2)
        for layer in self.layers:
            tokens = layer(tokens)
        mixed: Tensor = self.from_tokens(tokens).transpose(1, 2).unflatten(2, size)
        return mixed

    def _position(self, size: torch.Size) -> Tensor:
        position = self.get_buffer("position")
        if position.shape[2:] == size:
            return position
        return functional.interpolate(position, size=size, mode="trilinear")


def position_map(size: Size, width: int) -> Tensor:
    """Sinusoids of a voxel's number, x running fastest, as a feature map (1, width, X, Y, Z)."""
    x, y, z = (torch.arange(side, dtype=torch.float32) for side in size)
    number = x[:, None, None] + size[0] * (y[:, None] + size[1] * z)
    rate = WAVELENGTH ** (-torch.arange(0, width, 2, dtype=torch.float32) / width)
    angle = number * rate[:, None, None, None]
    return torch.stack([angle.sin(), angle.cos()], dim=1).flatten(0, 1)[None]
