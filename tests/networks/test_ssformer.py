"""SSFormer: published sizes, attention against torch's own, stepwise fusion, the order of enlarging and last layer."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from dgsweep.networks.base import NetworkTask
from dgsweep.networks.builder import count_parameters
from dgsweep.networks.small import implementation_of, make_network
from dgsweep.networks.ssformer import DECLARATION
from dgsweep.networks.ssformer.encoder import Attention, PyramidTransformer, to_map, to_tokens
from dgsweep.networks.ssformer.network import LocalityDecoder

UNUSED_FUSION = 4 * 256 * 256 + 2 * 256
"""A fusion of all four maps at once that the released code builds and never calls."""


@pytest.mark.parametrize(("size", "published"), [("b2", 29.6), ("b4", 66.2)])
def test_it_has_the_published_number_of_parameters_less_one_layer_that_the_released_code_never_calls(size, published):
    # SSFormer-S and -L as released: MiT-B2 and MiT-B4, RGB images, one output class
    options = {name: option.default for name, option in DECLARATION.options.items()} | {"size": size}
    task = NetworkTask(in_channels=3, n_classes=1, patch=(64, 64, 1), spacing_mm=(1.0, 1.0, 1.0), options=options)
    with torch.device("meta"):
        ours = count_parameters(implementation_of(DECLARATION)(task))
    assert round((ours + UNUSED_FUSION) / 1e6, 1) == published
    assert round(ours / 1e6, 1) != published


@pytest.mark.parametrize(("size", "published"), [("b1", 14.0), ("b2", 25.4), ("b3", 45.2), ("b4", 62.6)])
def test_the_pvt_v2_encoder_has_the_published_number_of_parameters_with_its_head_of_1000_classes(size, published):
    with torch.device("meta"):
        encoder = PyramidTransformer(3, 64, "pvt_v2", size, 0.1)
    assert round((count_parameters(encoder) + 512 * 1000 + 1000) / 1e6, 1) == published  # table 1 of PVT v2
    with torch.device("meta"):
        assert count_parameters(PyramidTransformer(3, 64, "mit", size, 0.1)) < count_parameters(encoder)


def torch_attention(ours: Attention, tokens: torch.Tensor, read: torch.Tensor) -> torch.Tensor:
    theirs = nn.MultiheadAttention(tokens.shape[-1], ours.heads, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([ours.query.weight, ours.key_value.weight]))
        theirs.in_proj_bias.copy_(torch.cat([ours.query.bias, ours.key_value.bias]))
    theirs.out_proj = ours.project
    return theirs(tokens, read, read, need_weights=False)[0]


def test_attention_is_that_of_torch_over_normalised_tokens_of_a_reduced_map():
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randn(2, 64, 8, generator=generator)
    reduced, plain = Attention(8, 2, 4), Attention(8, 2, 1)
    for own in (reduced, plain):
        nn.init.normal_(own.key_value.weight, generator=generator)
        nn.init.normal_(own.query.weight, generator=generator)
    read = reduced.norm(to_tokens(reduced.reduce(to_map(tokens, (8, 8)))))
    assert read.shape == (2, 4, 8)
    assert torch.allclose(reduced(tokens, (8, 8)), torch_attention(reduced, tokens, read), atol=1e-5)
    assert torch.allclose(plain(tokens, (8, 8)), torch_attention(plain, tokens, tokens), atol=1e-5)
    assert not torch.allclose(reduced(tokens, (8, 8)), torch_attention(reduced, tokens, tokens), atol=1e-2)


def test_the_decoder_fuses_stepwise_from_the_coarsest_stage_to_the_finest():
    decoder = LocalityDecoder((4, 8, 20, 32), 4).eval()
    generator = torch.Generator().manual_seed(0)
    maps = [torch.randn(1, c, s, s, generator=generator) for c, s in ((4, 16), (8, 8), (20, 4), (32, 2))]

    def steps(stage: int | None) -> list[torch.Tensor]:
        found: list[torch.Tensor] = []
        handles = [fusion.register_forward_hook(lambda _m, _i, out: found.append(out)) for fusion in decoder.fusions]
        shown = [own + 1.0 if index == stage else own for index, own in enumerate(maps)]
        decoder(shown)
        for handle in handles:
            handle.remove()
        return found

    before = steps(None)
    assert [step.shape for step in before] == [(1, 4, 16, 16)] * 3
    changed = [[not torch.equal(a, b) for a, b in zip(before, steps(stage), strict=True)] for stage in range(4)]
    assert changed == [[False, False, True], [False, True, True], [True, True, True], [True, True, True]]


def test_enlarged_features_under_the_last_layer_give_the_enlarged_logits_of_the_paper():
    network = make_network(DECLARATION, (64, 64, 1)).eval()
    core, generator = network.core.core, torch.Generator().manual_seed(0)
    nn.init.normal_(core.last.bias, generator=generator)
    image = torch.randn(1, 2, 64, 64, 1, generator=generator)
    logits = network(image)[0][..., 0]
    coarse = core.last(core.decoder(core.encoder(image[..., 0])))
    assert torch.allclose(logits, functional.interpolate(coarse, scale_factor=4, mode="bilinear", align_corners=True),
                          atol=1e-5)  # fmt: skip
    other = functional.interpolate(coarse, scale_factor=4, mode="bilinear", align_corners=False)
    assert not torch.allclose(logits, other, atol=1e-5)


def test_the_share_of_skipped_samples_rises_linearly_over_the_blocks():
    encoder = PyramidTransformer(1, 4, "mit", "b1", 0.14)
    rates = [block.drop_path.drop_prob for stage in encoder.stages for block in stage.blocks]
    assert rates == pytest.approx([0.02 * block for block in range(8)])


def test_the_taps_of_the_encoder_halve_from_a_quarter_of_the_image():
    network = make_network(DECLARATION, (64, 96, 2)).eval()
    found = {}
    for name, tap in network.taps.items():
        tap.register_forward_hook(lambda _m, _i, out, name=name: found.update({name: tuple(out.shape[1:])}))
    network(torch.zeros(1, 2, 64, 96, 2))
    assert [found[f"enc{stage}"] for stage in range(4)] == [(4, 16, 24, 2), (8, 8, 12, 2), (20, 4, 6, 2), (32, 2, 3, 2)]
    assert found["decoded"] == (4, 64, 96, 2)
