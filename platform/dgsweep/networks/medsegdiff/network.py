"""MedSegDiff: a 2D U-Net that removes noise from a mask, conditioned on the image. Wu et al., MIDL 2023."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from dgsweep.networks.base import NetworkTask, SegmentationNetwork
from dgsweep.networks.medsegdiff.blocks import ConditionalEncoding, Step, groups, started_small
from dgsweep.networks.monai_import import without_optional_packages
from dgsweep.networks.slices import slice_wise, to_slices

with without_optional_packages():
    from monai.networks.nets.diffusion_model_unet import get_timestep_embedding

MULTIPLES = (1, 1, 2, 2, 4, 4)
"""Channels of a level, in widths. The last but one has attention, and so has the middle below the last."""


class Encoder(nn.Module):
    """Stem, steps of each level and the convolutions that halve; the core runs two of them side by side."""

    def __init__(self, in_channels: int, widths: list[int], blocks: int, heads: int, time_channels: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(in_channels, widths[0], 3, padding=1)
        self.levels, self.downs = nn.ModuleList(), nn.ModuleList()
        for level, width in enumerate(widths):
            before = [widths[max(level - 1, 0)], *[width] * (blocks - 1)]
            own = heads if level == len(widths) - 2 else 0
            self.levels.append(nn.ModuleList(Step(channels, width, time_channels, own) for channels in before))
            if level < len(widths) - 1:
                self.downs.append(nn.Conv2d(width, width, 3, stride=2, padding=1))


class MedSegDiffCore(nn.Module):
    """Two encoders, of the image and of the noisy mask beside the image; their sum goes through middle and decoder.

    Args:
        in_channels: of the image.
        n_classes: channels of the noisy mask and of the output.
        size: (X, Y) of the image: the frequency filters have a weight for each frequency of it.
        options: width, levels, blocks, heads.
    """

    def __init__(self, in_channels: int, n_classes: int, size: tuple[int, int], options: Any) -> None:
        super().__init__()
        width, blocks, heads = int(options["width"]), int(options["blocks"]), int(options["heads"])
        widths, time = [width * multiple for multiple in MULTIPLES[: int(options["levels"])]], 4 * width
        self.n_classes, self.width = n_classes, width
        self.condition: tuple[Tensor, Tensor] | None = None
        self.embed_time = nn.Sequential(nn.Linear(width, time), nn.SiLU(), nn.Linear(time, time))
        self.image_encoder = Encoder(in_channels, widths, blocks, heads, time)
        self.mask_encoder = Encoder(in_channels + n_classes, widths, blocks, heads, time)
        self.encodings = nn.ModuleList(
            ConditionalEncoding(own, (size[0] >> level, size[1] >> level)) for level, own in enumerate(widths[:-1])
        )
        self.middle = nn.ModuleList([Step(widths[-1], widths[-1], time, own) for own in (heads, 0)])
        self._add_decoder(widths, blocks, heads, time)
        self.finish = nn.Sequential(nn.GroupNorm(groups(width), width), nn.SiLU())
        self.last = started_small(nn.Conv2d(width, n_classes, 3, padding=1))

    def _add_decoder(self, widths: list[int], blocks: int, heads: int, time: int) -> None:
        skips = [widths[0]]
        for level, own in enumerate(widths):
            skips += [own] * blocks + ([own] if level < len(widths) - 1 else [])
        self.decoder, self.ups = nn.ModuleList(), nn.ModuleList()
        channels = widths[-1]
        for level in reversed(range(len(widths))):
            steps = nn.ModuleList()
            for _ in range(blocks + 1):
                own = heads if level == len(widths) - 2 else 0
                steps.append(Step(channels + skips.pop(), widths[level], time, own))
                channels = widths[level]
            self.decoder.append(steps)
            if level:
                self.ups.append(nn.Conv2d(channels, channels, 3, padding=1))

    def forward(self, image: Tensor) -> Tensor:
        """(B, C, X, Y) to (B, K+1, X, Y): the noise of the mask that was given; without one, logits."""
        noisy, step = self.condition or (
            image.new_zeros(len(image), self.n_classes, *image.shape[2:]),
            image.new_zeros(len(image)),
        )
        time = self.embed_time(get_timestep_embedding(step, self.width).to(image.dtype))
        feature, skips = self._encode(image, noisy.to(image.dtype), time)
        for middle in self.middle:
            feature = middle(feature, time)
        for level, steps in enumerate(self.decoder):
            for decoding in steps.children():
                feature = decoding(torch.cat([feature, skips.pop()], dim=1), time)
            if level < len(self.ups):
                feature = self.ups[level](functional.interpolate(feature, scale_factor=2, mode="nearest"))
        output: Tensor = self.last(self.finish(feature))
        return output

    def _encode(self, image: Tensor, noisy: Tensor, time: Tensor) -> tuple[Tensor, list[Tensor]]:
        seen, mask = self.image_encoder, self.mask_encoder
        condition, feature = seen.stem(image), mask.stem(torch.cat([image, noisy], dim=1))
        skips = [feature]
        for level in range(len(mask.levels)):
            if level:
                condition = seen.downs[level - 1](self.encodings[level - 1](condition, feature))
                feature = mask.downs[level - 1](feature)
                skips.append(feature)
            for see, denoise in zip(_steps(seen, level), _steps(mask, level), strict=True):
                condition, feature = see(condition, time), denoise(feature, time)
                skips.append(feature)
        return feature + condition, skips


def _steps(encoder: Encoder, level: int) -> list[nn.Module]:
    return list(encoder.levels[level].children())


class DenoisingNetwork(SegmentationNetwork):
    """A network of volumes that can be told which noisy mask to denoise; see `conditioned`."""

    @property
    def denoiser(self) -> MedSegDiffCore:
        """The network of one slice."""
        found: MedSegDiffCore = self.core.get_submodule("core")  # type: ignore[assignment]
        return found

    @property
    def n_classes(self) -> int:
        """Channels of a noisy mask, and of the output."""
        return self.denoiser.n_classes

    @contextmanager
    def conditioned(self, noisy: Tensor, step: Tensor) -> Iterator[None]:
        """Inside, the network gives the noise in `noisy` (B, K+1, X, Y, Z); `step` (B, Z) is that of each slice."""
        self.denoiser.condition = (to_slices(noisy).contiguous(), step.flatten())
        try:
            yield
        finally:
            self.denoiser.condition = None


def build(task: NetworkTask) -> SegmentationNetwork:
    """Build the network; taps are `stem`, `enc<i>`, `enc<i>.pre_norm`, `bottleneck`, `dec<i>` and `decoded`."""
    core = MedSegDiffCore(task.in_channels, task.n_classes, (task.patch[0], task.patch[1]), task.options)
    return slice_wise(core, _taps(core), kind=DenoisingNetwork)


def _taps(core: MedSegDiffCore) -> dict[str, nn.Module]:
    encoder = core.mask_encoder
    taps: dict[str, nn.Module] = {"stem": encoder.stem, "enc0.pre_norm": encoder.stem}
    for level in range(len(encoder.levels)):
        taps[f"enc{level}"] = _steps(encoder, level)[-1]
        if level:
            taps[f"enc{level}.pre_norm"] = encoder.downs[level - 1]
        taps[f"dec{level}"] = list(core.decoder[level].children())[-1]
    taps["bottleneck"], taps["decoded"] = core.middle[-1], core.finish
    return taps
