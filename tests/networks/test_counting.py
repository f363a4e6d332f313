"""Costs of a backbone against counts done by hand."""

import pytest
import torch
from torch import nn

from dgsweep.networks.base import NetworkTask, SegmentationNetwork
from dgsweep.networks.counting import cost

PATCH = (8, 6, 4)
VOXELS = 8 * 6 * 4
TASK = NetworkTask(in_channels=2, n_classes=3, patch=PATCH, spacing_mm=(1.0, 1.0, 1.0))


def network(*layers: nn.Module) -> SegmentationNetwork:
    return SegmentationNetwork(nn.Sequential(*layers), {"stem": layers[0]})


def test_a_convolution_counts_its_multiply_accumulates_and_not_its_bias():
    for bias in (True, False):
        found = cost(network(nn.Conv3d(2, 5, 3, padding=1, bias=bias)), TASK)
        assert found.flops == VOXELS * 27 * 2 * 5


@pytest.mark.parametrize(
    "norm",
    [nn.InstanceNorm3d(4, affine=True), nn.InstanceNorm3d(4), nn.BatchNorm3d(4), nn.GroupNorm(2, 4)],
    ids=lambda norm: type(norm).__name__,
)
def test_a_norm_counts_five_for_each_element(norm):
    plain = cost(network(nn.Conv3d(2, 4, 1)), TASK).flops
    assert cost(network(nn.Conv3d(2, 4, 1), norm), TASK).flops == plain + 5 * 4 * VOXELS


def test_an_activation_counts_nothing():
    assert cost(network(nn.Conv3d(2, 4, 1), nn.GELU()), TASK).flops == VOXELS * 2 * 4


class Attention(nn.Module):
    """Attention over the voxels as tokens; with heads as an axis, or as one without."""

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.last = nn.Linear(2, 3)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        tokens = image.flatten(2).movedim(1, 2)
        if self.heads:
            tokens = tokens.unflatten(-1, (self.heads, -1)).transpose(1, 2).contiguous()
        mixed = nn.functional.scaled_dot_product_attention(tokens, tokens, tokens)
        mixed = mixed.transpose(1, 2).flatten(2) if self.heads else mixed
        return self.last(mixed).movedim(2, 1).unflatten(2, PATCH)


@pytest.mark.parametrize("heads", [0, 1, 2])
def test_attention_counts_both_of_its_products(heads):
    core = Attention(heads)
    found = cost(SegmentationNetwork(core, {"stem": core.last}), TASK)
    assert found.flops == 2 * VOXELS * VOXELS * 2 + VOXELS * 2 * 3


def test_kept_bytes_are_what_each_layer_needs_for_its_gradient():
    found = cost(network(nn.Conv3d(2, 4, 3, padding=1), nn.ReLU(), nn.Conv3d(4, 3, 1)), TASK)
    image, activation = 2 * VOXELS * 4, 4 * VOXELS * 4  # float32; the activation is kept once for two layers
    assert found.activation_bytes == image + activation


def test_counting_computes_nothing_and_leaves_weights_mode_and_statistics_alone():
    core = network(nn.Conv3d(2, 3, 1), nn.BatchNorm3d(3)).eval()
    before = {name: value.clone() for name, value in core.state_dict().items()}
    cost(core, TASK, deep_supervision=True)
    assert not core.training
    assert all(torch.equal(value, before[name]) for name, value in core.state_dict().items())
    assert not core.taps["stem"]._forward_hooks


def test_taps_are_given_with_channels_and_size():
    assert cost(network(nn.Conv3d(2, 5, 3, padding=1, stride=2)), TASK).taps == {"stem": (5, 4, 3, 2)}
