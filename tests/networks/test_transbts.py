"""TransBTS: published size, and a transformer that computes what PyTorch's computes."""

import pytest
import torch
from torch import nn

from dgsweep.errors import PlanError
from dgsweep.networks.base import NetworkTask
from dgsweep.networks.builder import count_parameters
from dgsweep.networks.small import make_network
from dgsweep.networks.transbts import DECLARATION
from dgsweep.networks.transbts.network import GlobalTransformer, build

UNREAD = (512 * 512 + 512) + 2 * 512
"""Of the authors' network: the linear layer for tokens cut from the volume, and the norm before a head it lacks."""


def task(patch: tuple[int, int, int], **changes) -> NetworkTask:
    options = {name: option.default for name, option in DECLARATION.options.items()} | changes
    return NetworkTask(in_channels=4, n_classes=4, patch=patch, spacing_mm=(1.0, 1.0, 1.0), options=options)


def count(patch: tuple[int, int, int], **changes) -> int:
    with torch.device("meta"):
        return count_parameters(build(task(patch, **changes)))


def test_with_the_layers_that_nothing_reads_it_has_the_published_number_of_parameters():
    # Wang et al., MICCAI 2021, section 3: 32.99 M, for BraTS at 128^3.
    assert (count((128, 128, 128)) + UNREAD) / 1e6 == pytest.approx(32.99, abs=0.005)
    assert (count((128, 128, 128), layers=3) + UNREAD) / 1e6 != pytest.approx(32.99, abs=0.005)


def test_the_position_embedding_has_a_row_for_each_token_of_the_patch():
    assert count((128, 128, 128)) - count((64, 64, 32)) == (16**3 - 8 * 8 * 4) * 512


def test_the_transformer_computes_what_pytorch_computes():
    sizes = {"hidden_size": 16, "mlp_size": 32, "heads": 2, "layers": 1}
    ours = GlobalTransformer(8, 12, sizes).eval()
    ours.embed = nn.Identity()
    nn.init.normal_(ours.positions)
    theirs = nn.TransformerEncoderLayer(16, 2, 32, activation="gelu", norm_first=True, batch_first=True).eval()
    feature = torch.randn(2, 16, 3, 2, 2)
    tokens = feature.flatten(2).transpose(1, 2) + ours.positions
    with torch.no_grad():
        assert not torch.allclose(ours(feature), as_map(theirs(tokens)), atol=1e-3)
        copy_weights(ours.blocks[0], theirs)
        assert torch.allclose(ours(feature), as_map(theirs(tokens)), atol=1e-5)


def as_map(tokens: torch.Tensor) -> torch.Tensor:
    return tokens.transpose(1, 2).reshape(2, 16, 3, 2, 2)


def copy_weights(ours: nn.Module, theirs: nn.TransformerEncoderLayer) -> None:
    theirs.self_attn.in_proj_weight.copy_(ours.attn.qkv.weight)
    theirs.self_attn.in_proj_bias.zero_()
    pairs = [
        (theirs.self_attn.out_proj, ours.attn.out_proj), (theirs.linear1, ours.mlp.linear1),
        (theirs.linear2, ours.mlp.linear2), (theirs.norm1, ours.norm1), (theirs.norm2, ours.norm2),
    ]  # fmt: skip
    for their, our in pairs:
        their.load_state_dict(our.state_dict())


@pytest.mark.parametrize(("attends", "reaches"), [(False, False), (True, True)])
def test_attention_carries_one_end_of_the_volume_to_the_other(attends, reaches):
    transformer = make_network(DECLARATION, (64, 8, 8)).core.transformer.eval()
    feature = torch.randn(1, 64, 8, 1, 1, requires_grad=True)
    out = transformer(feature) if attends else transformer.embed(feature)
    (gradient,) = torch.autograd.grad(out[0, :, 0].sum(), feature)
    assert gradient[0, :, 0].any()
    assert bool(gradient[0, :, 7].any()) is reaches


def test_heads_that_do_not_divide_the_hidden_size_are_refused():
    with pytest.raises(PlanError, match="multiple of heads 3"):
        make_network(DECLARATION, (16, 8, 8), options={"hidden_size": 16, "heads": 3})
