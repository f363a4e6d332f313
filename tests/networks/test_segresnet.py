"""SegResNet: published sizes, and blocks that add to what they are given."""

import pytest
import torch

from dgsweep.networks.base import NetworkTask
from dgsweep.networks.builder import count_parameters
from dgsweep.networks.segresnet.network import build


def task(width: int, *, in_channels: int = 1, n_classes: int = 2) -> NetworkTask:
    return NetworkTask(
        in_channels=in_channels, n_classes=n_classes, patch=(16, 16, 16), spacing_mm=(1.0, 1.0, 1.0),
        options={"width": width},
    )  # fmt: skip


def count(width: int, **channels: int) -> int:
    with torch.device("meta"):
        return count_parameters(build(task(width, **channels)))


@pytest.mark.parametrize(
    ("width", "published"),
    [(8, 1.18), (16, 4.70), (32, 18.80)],  # 8: Lee et al., 3D UX-Net, ICLR 2023; 16 and 32: MONAI 1.6.1, counted
)
def test_one_channel_and_fourteen_classes_give_the_published_number_of_parameters(width, published):
    assert count(width, n_classes=14) / 1e6 == pytest.approx(published, abs=0.005)


def test_another_width_does_not_give_the_published_number():
    assert count(16, n_classes=14) / 1e6 != pytest.approx(1.18, abs=0.005)


def test_the_card_states_the_number_of_parameters_at_the_default():
    assert count(16) == 4_700_914


@pytest.mark.parametrize("silenced", [True, False])
def test_a_block_whose_last_convolution_is_zero_gives_back_what_it_is_given(silenced):
    layer = build(task(8)).taps["enc0"]
    block = layer[1]
    if silenced:
        torch.nn.init.zeros_(block.conv2.conv.weight)
    image = torch.randn(1, 8, 4, 4, 4)
    assert torch.equal(block(image), image) is silenced
