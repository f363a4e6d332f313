"""SSFormer: the pyramid transformer with the progressive locality decoder, slice by slice. Wang et al., MICCAI 2022."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from dgsweep.networks.base import NetworkTask, SegmentationNetwork
from dgsweep.networks.slices import slice_wise
from dgsweep.networks.ssformer.encoder import PyramidTransformer


class LocalEmphasis(nn.Sequential):
    """Two 3x3 convolutions without norm: they bring the attention of tokens back to their neighbours."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__(
            nn.Conv2d(channels, width, 3, padding=1, bias=False),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.ReLU(),
        )


class Fusion(nn.Sequential):
    """A linear layer over two concatenated maps: one step of the stepwise feature aggregation."""

    def __init__(self, width: int) -> None:
        super().__init__(nn.Conv2d(2 * width, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU())


class LocalityDecoder(nn.Module):
    """Local emphasis of each stage, then fusion from the coarsest stage to the finest, all at 1/4 of the image."""

    def __init__(self, channels: Sequence[int], width: int) -> None:
        super().__init__()
        self.emphases = nn.ModuleList(LocalEmphasis(own, width) for own in channels)
        self.fusions = nn.ModuleList(Fusion(width) for _ in channels[1:])

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Maps of the stages, finest first, to (B, width, X / 4, Y / 4)."""
        size = maps[0].shape[2:]
        *finer, fused = [
            functional.interpolate(emphasis(own), size, mode="bilinear", align_corners=False)
            for emphasis, own in zip(self.emphases, maps, strict=True)
        ]
        for fusion, own in zip(self.fusions, reversed(finer), strict=True):
            fused = fusion(torch.cat([fused, own], dim=1))
        return fused


class SsFormer(nn.Module):
    """Encoder, decoder and last layer of one slice."""

    def __init__(self, encoder: PyramidTransformer, decoder_width: int, n_classes: int, dropout: float) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = LocalityDecoder(encoder.channels, decoder_width)
        self.dropout = nn.Dropout(dropout)
        self.enlarge = nn.UpsamplingBilinear2d(scale_factor=4)
        self.last = nn.Conv2d(decoder_width, n_classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        """(B, C, X, Y) to logits (B, K+1, X, Y).

        The paper enlarges the logits; a 1x1 layer of enlarged features gives the same.
        """
        features: Tensor = self.enlarge(self.dropout(self.decoder(self.encoder(image))))
        return self.last(features)


def build(task: NetworkTask) -> SegmentationNetwork:
    """Build the network; taps are `stem`, `enc<i>`, `enc<i>.pre_norm`, `bottleneck`, `dec<i>` and `decoded`."""
    options = task.options
    encoder = PyramidTransformer(
        task.in_channels,
        int(options["width"]),
        str(options["encoder"]),
        str(options["size"]),
        float(options["drop_path"]),
    )
    core = SsFormer(encoder, int(options["decoder_width"]), task.n_classes, float(options["dropout"]))
    return slice_wise(core, _taps(core))


def _taps(core: SsFormer) -> dict[str, nn.Module]:
    taps: dict[str, nn.Module] = {}
    for index, stage in enumerate(core.encoder.stages):
        taps[f"enc{index}"] = stage
        taps[f"enc{index}.pre_norm"] = stage.get_submodule("embed")
    taps["stem"], taps["bottleneck"] = taps["enc0.pre_norm"], core.encoder.stages[-1]
    for index, fusion in enumerate(core.decoder.fusions):
        taps[f"dec{index}"] = fusion
    taps["decoded"] = core.enlarge
    return taps
