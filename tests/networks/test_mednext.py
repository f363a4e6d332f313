"""MedNeXt: published parameters and FLOPs of every size, and MONAI's network where theirs is the paper's."""

import pytest
import torch

from dgsweep.networks.base import NetworkTask, SegmentationNetwork
from dgsweep.networks.builder import count_parameters
from dgsweep.networks.counting import cost
from dgsweep.networks.mednext.network import build
from dgsweep.networks.monai_import import without_optional_packages

with without_optional_packages():
    from monai.networks.nets.mednext import create_mednext


def task(size: str, kernel: int = 3, patch: tuple[int, int, int] = (32, 16, 16)) -> NetworkTask:
    return NetworkTask(
        in_channels=1, n_classes=14, patch=patch, spacing_mm=(1.0, 1.0, 1.0),
        options={"size": size, "kernel": kernel, "width": 32},
    )  # fmt: skip


def on_meta(size: str, kernel: int) -> SegmentationNetwork:
    with torch.device("meta"):
        return build(task(size, kernel))


@pytest.mark.parametrize(
    ("size", "kernel", "published", "rounding"),
    [
        ("S", 3, 5.6, 0.05), ("B", 3, 10.5, 0.05), ("M", 3, 17.6, 0.05), ("L", 3, 61.8, 0.05),
        ("S", 5, 5.9, 0.1), ("B", 5, 11.0, 0.05), ("M", 5, 18.3, 0.05), ("L", 5, 63.0, 0.05),  # S: cut, not rounded
    ],
)  # fmt: skip
def test_every_size_has_the_published_number_of_parameters(size, kernel, published, rounding):
    # Roy et al., MICCAI 2023, and the table of github.com/MIC-DKFZ/MedNeXt; with deep supervision, 14 classes.
    assert count_parameters(on_meta(size, kernel)) / 1e6 == pytest.approx(published, abs=rounding)


@pytest.mark.parametrize(("size", "kernel", "published"), [("M", 5, 18.3), ("B", 5, 11.0), ("L", 3, 61.8)])
def test_monais_own_downsampling_blocks_miss_the_published_number(size, kernel, published):
    with torch.device("meta"):
        theirs = create_mednext(size, in_channels=1, out_channels=14, kernel_size=kernel, deep_supervision=True)
    assert count_parameters(theirs) / 1e6 != pytest.approx(published, abs=0.04)


@pytest.mark.parametrize(("size", "published"), [("S", 130), ("B", 170), ("M", 248)])
def test_a_patch_of_128_costs_the_published_flops(size, published):
    whole = task(size, patch=(128, 128, 128))
    with torch.device("meta"):
        network = build(whole)
    network.to_empty(device="cpu")  # tracing reads shapes, so nothing needs to be initialised
    assert cost(network, whole, deep_supervision=True).flops / 1e9 == pytest.approx(published, rel=0.01)


def test_the_smallest_size_computes_what_monai_computes():
    ours = build(task("S")).core.eval()
    theirs = create_mednext("S", in_channels=1, out_channels=14, deep_supervision=True).eval()
    image = torch.randn(1, 1, 32, 16, 16)
    with torch.no_grad():
        assert not torch.equal(ours(image), theirs(image))
        theirs.load_state_dict(ours.state_dict())
        assert torch.equal(ours(image), theirs(image))


def test_a_larger_size_does_not_fit_monais_weights():
    theirs = create_mednext("B", in_channels=1, out_channels=14, deep_supervision=True)
    with pytest.raises(RuntimeError, match=r"down_blocks\.0"):
        theirs.load_state_dict(build(task("B")).core.state_dict())


def test_a_block_is_a_depthwise_convolution_a_norm_an_expansion_and_a_compression_around_a_skip():
    block = build(task("S")).taps["enc0"][0]
    feature = torch.randn(1, 32, 4, 4, 4)
    with torch.no_grad():
        moved = torch.nn.functional.conv3d(feature, block.conv1.weight, block.conv1.bias, padding=1, groups=32)
        centred = moved - moved.mean(dim=(2, 3, 4), keepdim=True)
        moved = centred / (moved.var(dim=(2, 3, 4), keepdim=True, correction=0) + 1e-5).sqrt()
        wide = torch.einsum("oi,bixyz->boxyz", block.conv2.weight.flatten(1), moved) + block.conv2.bias.view(
            -1, 1, 1, 1
        )
        wide = wide * 0.5 * (1 + torch.erf(wide / 2**0.5))
        narrow = torch.einsum("oi,bixyz->boxyz", block.conv3.weight.flatten(1), wide) + block.conv3.bias.view(
            -1, 1, 1, 1
        )
        assert wide.shape[1] == 2 * 32
        assert torch.allclose(block(feature), feature + narrow, atol=1e-5)
        assert not torch.allclose(block(feature), narrow, atol=1e-2)
