"""GIN against closed forms and against a loop over samples."""

from itertools import pairwise

import pytest
import torch
from torch.nn import functional

from dgsweep.method.catalog import method_declaration
from dgsweep.method.conformance import make_context, make_method, toy_batch
from dgsweep_methods.gin.method import blend, random_network


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(n: int = 4, channels: int = 1) -> torch.Tensor:
    return torch.randn(n, channels, 6, 5, 4, generator=stream(99))


def loop_over_samples(image, layers, channels, kernels, generator):
    """The same network sample by sample with plain convolutions, from the same draws."""
    flows = list(image.unbind())
    widths = [image.shape[1], *[channels] * (layers - 1), image.shape[1]]
    for index, (fan_in, fan_out) in enumerate(pairwise(widths)):
        size = kernels[int(torch.randint(len(kernels), (1,), generator=generator))]
        weight = torch.randn(len(flows) * fan_out, fan_in, size, size, size, generator=generator)
        bias = torch.randn(len(flows) * fan_out, generator=generator)
        for sample, flow in enumerate(flows):
            own = slice(sample * fan_out, (sample + 1) * fan_out)
            out = functional.conv3d(flow[None], weight[own], bias[own], padding="same")[0]
            flows[sample] = torch.where(out > 0, out, 0.01 * out) if index < layers - 1 else out
    return torch.stack(flows)


@pytest.mark.parametrize(
    ("layers", "channels", "kernels"), [(1, 2, (1,)), (2, 3, (3,)), (4, 2, (1, 3)), (3, 4, (1, 3))]
)
@pytest.mark.parametrize("in_channels", [1, 2])
def test_the_grouped_network_equals_a_loop_over_samples(layers, channels, kernels, in_channels):
    image = images(channels=in_channels)
    grouped = random_network(image, layers, channels, kernels, stream())
    looped = loop_over_samples(image, layers, channels, kernels, stream())
    torch.testing.assert_close(grouped, looped, rtol=1e-4, atol=1e-4)
    other = loop_over_samples(image, layers, channels, kernels, stream(1))
    assert not torch.allclose(grouped, other, rtol=1e-2)


def test_one_layer_of_kernel_one_is_an_affine_map_of_each_voxel():
    image = images()
    generator = stream()
    coloured = random_network(image, 1, 2, (1,), generator)
    again = stream()
    torch.randint(1, (1,), generator=again)
    weight, bias = torch.randn(4, generator=again), torch.randn(4, generator=again)
    expected = weight.view(4, 1, 1, 1, 1) * image + bias.view(4, 1, 1, 1, 1)
    torch.testing.assert_close(coloured, expected, rtol=1e-5, atol=1e-6)


def test_each_sample_has_its_own_weights():
    same_image = images(1).repeat(4, 1, 1, 1, 1)
    coloured = random_network(same_image, 4, 2, (1, 3), stream())
    assert all(not torch.allclose(coloured[i], coloured[j], atol=1e-3) for i in range(4) for j in range(i))


def test_contrast_is_inverted_in_about_half_of_the_draws_of_one_1x1_layer():
    # The slope is N(0, 1): 400 draws are inverted 200 times, standard deviation 10.
    ramp = torch.linspace(-1, 1, 8).view(1, 1, 8, 1, 1).repeat(400, 1, 1, 1, 1)
    coloured = random_network(ramp, 1, 1, (1,), stream())
    inverted = int((coloured[:, 0, -1] < coloured[:, 0, 0]).sum())
    assert 160 <= inverted <= 240


def test_alpha_zero_returns_the_image():
    image, coloured = images(), 5 * images().flip(0)
    torch.testing.assert_close(blend(image, coloured, torch.zeros(4)), image, rtol=1e-5, atol=1e-6)
    assert not torch.allclose(blend(image, coloured, torch.full((4,), 0.5)), image, atol=1e-2)


def test_alpha_one_returns_the_coloured_image_at_the_norm_of_the_image():
    image, coloured = images(), 5 * images().flip(0)
    factor = image.flatten(1).norm(dim=1) / coloured.flatten(1).norm(dim=1)
    expected = coloured * factor.view(4, 1, 1, 1, 1)
    torch.testing.assert_close(blend(image, coloured, torch.ones(4)), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_the_frobenius_norm_of_each_sample_is_kept(alpha):
    image = images() * torch.tensor([1.0, 2.0, 3.0, 4.0]).view(4, 1, 1, 1, 1)
    mixed = blend(image, 7 * images().flip(0) + 1, torch.full((4,), alpha))
    torch.testing.assert_close(mixed.flatten(1).norm(dim=1), image.flatten(1).norm(dim=1), rtol=1e-4, atol=0)


def test_the_view_keeps_shape_and_label_and_changes_every_image():
    method, batch = make_method(method_declaration("gin")), toy_batch(0)
    before = batch.image.clone()
    (view,) = method.views(make_context(method), batch)
    assert view.image.shape == batch.image.shape
    assert view.label is batch.label
    assert torch.equal(batch.image, before)
    assert all(not torch.allclose(new, old, atol=1e-3) for new, old in zip(view.image, before, strict=True))


def test_probability_is_the_share_of_samples_that_are_coloured():
    method = make_method(method_declaration("gin"), {"probability": 0.25})
    ctx, batch, coloured = make_context(method), toy_batch(0), 0
    for seed in range(50):
        ctx.generator.manual_seed(seed)
        (view,) = method.views(ctx, batch)
        coloured += sum(not torch.equal(new, old) for new, old in zip(view.image, batch.image, strict=True))
    # 200 samples at 0.25: 50 expected, standard deviation 6.
    assert 30 <= coloured <= 70


def test_probability_zero_returns_the_very_image_and_is_not_counted_as_active():
    method = make_method(method_declaration("gin"), {"probability": 0.0})
    ctx, batch = make_context(method), toy_batch(0)
    (view,) = method.views(ctx, batch)
    assert view.image is batch.image
    ctx.run_step(batch)
    assert ctx.active_steps == 0


def test_equal_random_streams_give_equal_views():
    method = make_method(method_declaration("gin"))
    first, second, other = make_context(method), make_context(method), make_context(method, seed=1)
    shown = [method.views(ctx, toy_batch(0))[0].image for ctx in (first, second, other)]
    assert torch.equal(shown[0], shown[1])
    assert not torch.equal(shown[0], shown[2])
