"""Swin UNETR: published sizes, and attention within windows that the shift opens."""

import pytest
import torch

from dgsweep.networks.base import NetworkTask
from dgsweep.networks.builder import count_parameters
from dgsweep.networks.small import make_network
from dgsweep.networks.swinunetr import DECLARATION
from dgsweep.networks.swinunetr.network import build


@pytest.mark.parametrize(
    ("version", "published"),
    [(1, 62.19), (2, 72.76)],  # 1: comparison tables, 62.2 in 3D UX-Net's; 2: MONAI 1.6.1, counted
)
def test_one_channel_and_fourteen_classes_give_the_published_number_of_parameters(version, published):
    task = NetworkTask(
        in_channels=1, n_classes=14, patch=(96, 96, 96), spacing_mm=(1.0, 1.0, 1.0),
        options={"feature_size": 48, "version": version, "window": 7},
    )  # fmt: skip
    count = count_parameters(build(task)) / 1e6
    assert count == pytest.approx(published, abs=0.005)
    assert count != pytest.approx(62.19 if version == 2 else 72.76, abs=0.005)


@pytest.mark.parametrize(("block", "crosses"), [(0, False), (1, True)])
def test_only_the_shifted_block_looks_beyond_its_window(block, crosses):
    stage = make_network(DECLARATION, (64, 32, 32)).core.swinViT.layers1[0].eval()
    tokens = torch.randn(1, 6, 6, 6, 12)  # two windows of 3 along each axis
    changed = tokens.clone()
    changed[:, 2, 2, 2] += 1.0  # a corner of the first window
    mask = windows_apart(6, 3)
    with torch.no_grad():
        moved = (stage.blocks[block](tokens, mask) - stage.blocks[block](changed, mask)).abs().sum(-1)[0]
    moved[:3, :3, :3] = 0.0
    assert bool(moved.any()) is crosses


def windows_apart(side: int, window: int) -> torch.Tensor:
    """0 between tokens of the same region of a shifted volume, -100 between others: (windows, tokens, tokens)."""
    shift = window // 2
    region = (torch.arange(side) >= side - window).long() + (torch.arange(side) >= side - shift).long()
    volume = region[:, None, None] * 9 + region[None, :, None] * 3 + region
    parts = volume.unfold(0, window, window).unfold(1, window, window).unfold(2, window, window).reshape(-1, window**3)
    return (parts[:, :, None] != parts[:, None, :]) * -100.0


def test_version_two_has_a_convolution_block_before_each_stage():
    one, two = (make_network(DECLARATION, (64, 32, 32), options=DECLARATION.small | {"version": v}) for v in (1, 2))
    assert not hasattr(one.core.swinViT, "layers1c")
    assert len(two.core.swinViT.layers4c) == 1
