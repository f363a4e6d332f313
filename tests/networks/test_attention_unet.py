"""Attention U-Net: size, and gates that do what the paper's formula says."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from dgsweep.networks.attention_unet import DECLARATION
from dgsweep.networks.attention_unet.network import build
from dgsweep.networks.base import NetworkTask
from dgsweep.networks.builder import count_parameters
from dgsweep.networks.small import make_network


def test_the_default_is_within_a_tenth_of_the_published_number_of_parameters():
    # Oktay et al., table 2: 6.40 M with other gates and supervision; the card says what differs.
    options = {name: option.default for name, option in DECLARATION.options.items()}
    task = NetworkTask(
        in_channels=1, n_classes=2, patch=(32, 32, 32), spacing_mm=(1.0, 1.0, 1.0), options=options
    )  # fmt: skip
    with torch.device("meta"):
        count = count_parameters(build(task))
        wider = build(NetworkTask(**{**vars(task), "options": {"width": 32, "levels": 5}}))
    assert count == 5_909_130
    assert count / 1e6 == pytest.approx(6.40, rel=0.1)
    assert count_parameters(wider) / 1e6 != pytest.approx(6.40, rel=0.1)


def gate(block, coarse: Tensor, skip: Tensor, *, rectified: bool = True) -> Tensor:
    """Equations 1 and 2 of the paper with a batch norm after each 1x1x1 convolution, written out."""
    terms = []
    for (convolution, norm), feature in ((block.W_g, coarse), (block.W_x, skip)):
        mixed = torch.einsum("oi,bixyz->boxyz", convolution.conv.weight.flatten(1), feature)
        mixed = mixed + convolution.conv.bias[:, None, None, None]
        terms.append(normed(norm, mixed))
    summed = F.relu(sum(terms)) if rectified else sum(terms)
    convolution, norm = block.psi[0].conv, block.psi[1]
    score = torch.einsum("oi,bixyz->boxyz", convolution.weight.flatten(1), summed) + convolution.bias
    return skip * torch.sigmoid(normed(norm, score))


def normed(norm, feature: Tensor) -> Tensor:
    shape = (1, -1, 1, 1, 1)
    centred = (feature - norm.running_mean.view(shape)) / (norm.running_var.view(shape) + norm.eps).sqrt()
    return centred * norm.weight.view(shape) + norm.bias.view(shape)


def test_a_gate_computes_the_formula_of_the_paper():
    network = make_network(DECLARATION, (8, 8, 8)).train()
    network(torch.randn(2, 2, 8, 8, 8))  # moves the running statistics off their start
    block = network.eval().core.model[1].attention
    coarse, skip = torch.randn(2, 2, 4, 8, 8, 8).unbind()
    with torch.no_grad():
        found = block(g=coarse, x=skip)
        assert torch.allclose(found, gate(block, coarse, skip), atol=1e-6)
        assert not torch.allclose(found, gate(block, coarse, skip, rectified=False), atol=1e-3)


@pytest.mark.parametrize("shut", [True, False])
def test_a_shut_gate_lets_nothing_of_the_skip_connection_through(shut):
    network = make_network(DECLARATION, (8, 8, 8)).eval()
    seen: list[Tensor] = []
    network.core.model[1].merge.register_forward_pre_hook(lambda _m, args: seen.append(args[0][:, :4]))
    if shut:
        network.taps["gate0"].register_forward_hook(lambda _m, _i, out: torch.zeros_like(out))
    network(torch.randn(1, 2, 8, 8, 8))
    assert bool(seen[0].any()) is not shut


def test_the_gates_are_maps_of_one_channel_between_zero_and_one():
    network = make_network(DECLARATION, (8, 8, 8)).eval()
    found: dict[str, Tensor] = {}
    for name in ("gate0", "gate1"):
        network.taps[name].register_forward_hook(lambda _m, _i, out, name=name: found.update({name: out}))
    network(torch.randn(1, 2, 8, 8, 8))
    assert {name: tuple(out.shape) for name, out in found.items()} == {
        "gate0": (1, 1, 8, 8, 8),
        "gate1": (1, 1, 4, 4, 4),
    }
    assert all(out.min() > 0 and out.max() < 1 for out in found.values())
