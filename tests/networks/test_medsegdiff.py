"""MedSegDiff's network: published size, frequency filter, conditional encoding, and how a noisy mask reaches it."""

import pytest
import torch
from torch.nn import functional

from dgsweep.method.networks import require_denoiser
from dgsweep.networks.base import NetworkTask
from dgsweep.networks.builder import count_parameters
from dgsweep.networks.medsegdiff import DECLARATION
from dgsweep.networks.medsegdiff.blocks import ConditionalEncoding, FrequencyFilter, SpatialAttention
from dgsweep.networks.small import implementation_of, make_network

PATCH = (64, 64, 2)
GENERATOR = torch.Generator().manual_seed(0)
IMAGE = torch.randn(1, 2, *PATCH, generator=GENERATOR)
NOISY = torch.randn(1, 3, *PATCH, generator=GENERATOR)


def test_its_denoising_u_net_has_the_published_number_of_parameters_of_ddpm():
    # Ho et al., NeurIPS 2020, appendix B: "our 256x256 models have 114 million parameters"; three channels in and out.
    # The exact number pins the architecture: it is what Ho et al.'s widths, two blocks and attention at 1/16 add up to.
    options = {name: option.default for name, option in DECLARATION.options.items()}
    task = NetworkTask(in_channels=1, n_classes=2, patch=(256, 256, 1), spacing_mm=(1.0, 1.0, 1.0), options=options)
    with torch.device("meta"):
        core = implementation_of(DECLARATION)(task).core.core
    condition = count_parameters(core.image_encoder) + count_parameters(core.encodings)
    one_output_less = 9 * 128 + 1
    assert count_parameters(core) - condition + one_output_less == 113_673_219
    assert round((count_parameters(core) - condition) / 1e6) == 114
    assert round(count_parameters(core) / 1e6) == 157


def test_the_frequency_filter_starts_as_the_identity_and_filters_frequencies():
    feature = torch.randn(2, 3, 8, 6, generator=GENERATOR)
    parser = FrequencyFilter(3, (8, 6))
    assert torch.allclose(parser(feature), feature, atol=1e-5)
    with torch.no_grad():
        parser.weight.zero_()
        parser.weight[:, 0, 0, 0] = 1.0  # the constant alone
    assert torch.allclose(parser(feature), feature.mean(dim=(2, 3), keepdim=True).expand_as(feature), atol=1e-5)
    assert not torch.allclose(parser(feature), feature, atol=1e-2)


def test_a_filter_is_a_circular_convolution():
    feature, kernel = torch.randn(1, 1, 6, 6, generator=GENERATOR), torch.zeros(1, 1, 6, 6)
    kernel[0, 0, 1, 2] = 1.0
    parser = FrequencyFilter(1, (6, 6))
    with torch.no_grad():
        parser.weight.copy_(torch.view_as_real(torch.fft.rfft2(kernel))[0])
    assert torch.allclose(parser(feature), feature.roll((1, 2), dims=(2, 3)), atol=1e-5)
    assert not torch.allclose(parser(feature), feature.roll((2, 1), dims=(2, 3)), atol=1e-2)


def test_the_condition_is_the_product_of_both_normalised_maps_and_the_image():
    image, mask = (torch.randn(2, 3, 8, 8, generator=GENERATOR) for _ in range(2))
    encoding = ConditionalEncoding(3, (8, 8))
    expected = functional.layer_norm(image, (3, 8, 8)) * functional.layer_norm(mask, (3, 8, 8)) * image
    assert torch.allclose(encoding(image, mask), expected, atol=1e-4)
    assert not torch.allclose(encoding(image, -mask), expected, atol=1e-2)


def test_attention_is_that_of_torch_over_the_places_of_a_map():
    feature, ours = torch.randn(2, 8, 3, 4, generator=GENERATOR), SpatialAttention(8, 2)
    theirs = torch.nn.MultiheadAttention(8, 2, batch_first=True)
    with torch.no_grad():
        ours.project.weight.normal_(generator=GENERATOR)
        theirs.in_proj_weight.copy_(ours.mix.weight)
        theirs.in_proj_bias.copy_(ours.mix.bias)
    theirs.out_proj = ours.project
    tokens = ours.norm(feature).flatten(2).transpose(1, 2)
    mixed = theirs(tokens, tokens, tokens, need_weights=False)[0].transpose(1, 2).unflatten(2, (3, 4))
    assert torch.allclose(ours(feature), feature + mixed, atol=1e-5)
    assert not torch.allclose(ours(feature), mixed, atol=1e-2)


@torch.no_grad()
def test_the_output_depends_on_the_noisy_mask_and_on_the_diffusion_step():
    network = make_network(DECLARATION, PATCH).eval()

    def told(noisy: torch.Tensor, *steps: int) -> torch.Tensor:
        with network.conditioned(noisy, torch.tensor([steps])):
            return network(IMAGE)[0]

    output = told(NOISY, 10, 10)
    assert output.shape == (1, 3, *PATCH)
    assert torch.equal(output, told(NOISY, 10, 10))
    assert not torch.equal(output, told(-NOISY, 10, 10))
    other = told(NOISY, 10, 900)
    assert torch.allclose(output[..., 0], other[..., 0], atol=1e-6)  # each slice has its own step
    assert not torch.equal(output[..., 1], other[..., 1])
    changed = NOISY.clone()
    changed[..., 1] += 1.0
    assert torch.allclose(output[..., 0], told(changed, 10, 10)[..., 0], atol=1e-6)  # and its own mask


@torch.no_grad()
def test_a_plain_method_gets_a_u_net_that_sees_an_empty_mask_at_step_zero():
    network = make_network(DECLARATION, PATCH).eval()
    plain = network(IMAGE)[0]
    with network.conditioned(torch.zeros_like(NOISY), torch.zeros(1, 2)):
        assert torch.equal(network(IMAGE)[0], plain)
    with network.conditioned(NOISY, torch.zeros(1, 2)):
        assert not torch.equal(network(IMAGE)[0], plain)
    assert torch.equal(network(IMAGE)[0], plain)


def test_it_is_what_a_denoising_method_asks_for():
    assert require_denoiser(make_network(DECLARATION, PATCH), "it").n_classes == 3
    with pytest.raises(ValueError, match="it needs a network that removes noise"):
        require_denoiser(torch.nn.Conv3d(1, 1, 1), "it")


def test_what_was_told_is_forgotten_after_an_error():
    network = make_network(DECLARATION, PATCH)
    with pytest.raises(RuntimeError, match="planted"), network.conditioned(NOISY, torch.zeros(1, 2)):
        raise RuntimeError("planted")
    assert network.denoiser.condition is None
