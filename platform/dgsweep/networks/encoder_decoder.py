"""A U-Net of given stages, its taps, and the convolutions with norm that its stages are made of."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from dgsweep.networks.monai_import import without_optional_packages
from dgsweep.networks.planned import ACTIVATION, NORM

with without_optional_packages():
    from monai.networks.blocks.convolutions import Convolution

Steps = tuple[int, ...]


class DecoderStage(nn.Module):
    """Upsample what comes from below, join it with the skip, which a gate may change first, and convolve."""

    def __init__(self, up: nn.Module, block: nn.Module, gate: nn.Module | None = None) -> None:
        super().__init__()
        self.up, self.block, self.gate = up, block, gate

    def forward(self, below: Tensor, skip: Tensor) -> Tensor:
        """(B, C, X, Y, Z) of the skip's size from the level below and the skip."""
        below = self.up(below)
        joined: Tensor = self.block(torch.cat((below, skip if self.gate is None else self.gate(skip, below)), dim=1))
        return joined


class EncoderDecoder(nn.Module):
    """A stem, encoder stages (the last is the bottleneck), decoder stages and an output for each, coarsest first."""

    def __init__(
        self,
        stem: nn.Module,
        encoder: Sequence[nn.Module],
        decoder: Sequence[DecoderStage],
        heads: Sequence[nn.Module],
    ) -> None:
        super().__init__()
        self.stem, self.encoder, self.decoder = stem, nn.ModuleList(encoder), nn.ModuleList(decoder)
        self.heads = nn.ModuleList(heads)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Logits (B, K+1, ...) at the resolution of each head, finest first; only the finest in evaluation."""
        feature, features = self.stem(image), list[Tensor]()
        for stage in self.encoder:
            feature = stage(feature)
            features.append(feature)
        outputs: list[Tensor] = []
        n_stages, n_heads = len(self.decoder), len(self.heads) if self.training else 1
        for left, stage, skip in zip(range(n_stages)[::-1], self.decoder, features[-2::-1], strict=True):
            feature = stage(feature, skip)
            if left < n_heads:
                outputs.insert(0, self.heads[len(self.heads) - 1 - left](feature))
        return outputs


def encoder_decoder_taps(core: EncoderDecoder) -> dict[str, nn.Module]:
    """Taps `stem`, `enc<i>`, `enc<i>.pre_norm` (its first convolution), `bottleneck`, `dec<i>` and `decoded`."""
    taps = {"stem": first_convolution(core.stem), "bottleneck": core.encoder[-1], "decoded": core.decoder[-1]}
    for index, stage in enumerate(core.encoder[:-1]):
        taps[f"enc{index}"] = stage
        taps[f"enc{index}.pre_norm"] = first_convolution(stage)
    for index, stage in enumerate(core.decoder):
        taps[f"dec{index}"] = stage
    return taps


def first_convolution(stage: nn.Module) -> nn.Module:
    """The convolution of a stage that comes first."""
    return next(part for part in stage.modules() if isinstance(part, nn.Conv2d | nn.Conv3d))


def convolution(
    channels: tuple[int, int], kernel: Steps, stride: Steps | int = 1, *, bias: bool = True, activated: bool = True
) -> nn.Module:
    """MONAI's convolution with instance norm, and leaky ReLU where `activated`."""
    block: nn.Module = Convolution(
        len(kernel),
        *channels,
        strides=stride,
        kernel_size=kernel,
        adn_ordering="NA" if activated else "N",
        norm=NORM,
        act=ACTIVATION,
        bias=bias,
    )
    return block


def upsampling(channels: tuple[int, int], stride: Steps, *, bias: bool) -> nn.Module:
    """A transposed convolution whose kernel is its stride."""
    kind: Any = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}[len(stride)]
    layer: nn.Module = kind(*channels, stride, stride, bias=bias)
    return layer


def initialise(module: nn.Module) -> None:
    """nnU-Net's start of convolutions: normal after He for leaky ReLU, biases zero."""
    if isinstance(module, nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.ConvTranspose3d):
        nn.init.kaiming_normal_(module.weight, a=0.01)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
