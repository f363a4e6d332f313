"""MaxStyle against closed forms and torch's own Adam."""

import pytest
import torch

from dgsweep.method.base import Method
from dgsweep.method.conformance import MethodConformance, make_context, make_method, trained
from dgsweep.method.style import style_of
from dgsweep.method.toy import toy_batch
from dgsweep_methods.maxstyle import DECLARATION
from dgsweep_methods.maxstyle.autoencoder import PLACES, Autoencoder
from dgsweep_methods.maxstyle.method import Change, ascend, compose_style

SHIFT = torch.tensor([1, 2, 0])


class TestMaxStyleConformance(MethodConformance):
    declaration = DECLARATION


def feature():
    generator = torch.Generator().manual_seed(0)
    scale = torch.tensor([1.0, 2.0, 5.0]).view(3, 1, 1, 1, 1)
    return scale * torch.randn(3, 4, 5, 6, 7, generator=generator) + 10 * scale


def change(mix=0.0, mean=0.0, std=0.0):
    noise = torch.stack([torch.full((3, 4, 1, 1, 1), mean), torch.full((3, 4, 1, 1, 1), std)])
    return Change(torch.full((3, 1, 1, 1, 1), mix), noise)


def test_the_style_is_the_mixture_plus_noise_in_units_of_the_spread():
    x = feature()
    mean, std = x.mean(dim=(2, 3, 4)), x.std(dim=(2, 3, 4), correction=0)
    shown = style_of(compose_style(x, SHIFT, change(0.25, 0.5, 2.0)))
    expected_mean = 0.75 * mean + 0.25 * mean[SHIFT] + 0.5 * mean.std(dim=0)
    expected_std = 0.75 * std + 0.25 * std[SHIFT] + 2.0 * std.std(dim=0)
    torch.testing.assert_close(shown.mean.flatten(1), expected_mean, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(shown.std.flatten(1), expected_std, rtol=1e-3, atol=1e-3)
    assert not torch.allclose(shown.mean.flatten(1), mean, atol=0.1)


def test_no_mix_and_no_noise_return_the_feature_and_the_mix_is_clamped():
    x = feature()
    torch.testing.assert_close(compose_style(x, SHIFT, change()), x, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(compose_style(x, SHIFT, change(7.0)), compose_style(x, SHIFT, change(1.0)))
    assert not torch.allclose(compose_style(x, SHIFT, change(1.0)), x, atol=1.0)


def test_the_ascent_climbs_a_parabola_by_adams_first_steps():
    place = torch.zeros(2, requires_grad=True)
    target = torch.tensor([1.0, -3.0])
    other = torch.ones((), requires_grad=True)
    ascend([place], lambda: -other * (place - target).square().sum(), 3, 0.1)
    # Adam's step is the learning rate in the direction of the gradient, whatever its size, as long as that is steady.
    torch.testing.assert_close(place.detach(), torch.tensor([0.3, -0.3]), rtol=0.02, atol=0.01)
    assert other.grad is None


@pytest.mark.parametrize("shape", [(2, 1, 16, 16, 8), (2, 2, 9, 7, 5)])
def test_the_autoencoder_takes_any_number_of_channels_and_odd_sizes(shape):
    model, image = Autoencoder(2), torch.randn(shape)
    code, seen = model.encode(image), {}

    def look(place, flow):
        seen[place] = flow.shape[1]
        return flow

    assert model.decode(code, image.shape, look).shape == image.shape
    assert tuple(seen[place] for place in range(PLACES)) == model.widths
    assert len(code) == shape[0] * shape[1]


def test_the_autoencoder_learns_to_reconstruct_beside_the_network():
    method, batch = make_method(DECLARATION, {"probability": 0.001}), toy_batch(0)
    clean = type(batch)(
        image=3.0 * batch.label[:, None].float() - 0.5, label=batch.label, domain=batch.domain, case_ids=batch.case_ids
    )
    ctx, losses = make_context(method), []
    for _ in range(60):
        ctx.run_step(clean)
        losses.append(float(ctx.losses["reconstruction"].detach()))
    assert losses[-1] < 0.3 * float(clean.image.var())  # what the best constant image would leave


def stylised(steps, seed, batch):
    """Loss of a network trained with ERM on the re-styled image, and that image."""
    ctx = trained(Method(), steps=30)
    method = make_method(DECLARATION, {"steps": steps, "probability": 1.0})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        method.setup(ctx)
    ctx.generator.manual_seed(seed)
    _, view = method.views(ctx, batch)
    return float(ctx.seg_loss(ctx.forward(view.image), view.label).detach()), view.image


def test_the_ascent_finds_worse_styles_than_the_random_ones_it_starts_from():
    batch = toy_batch(0)
    gains = [stylised(5, seed, batch)[0] - stylised(0, seed, batch)[0] for seed in range(4)]
    assert all(gain > 0 for gain in gains)


def test_a_restyled_image_has_mean_and_deviation_of_its_original():
    batch = toy_batch(0)
    _, image = stylised(1, 0, batch)
    found, wanted = style_of(image), style_of(batch.image)
    torch.testing.assert_close(found.mean, wanted.mean, rtol=1e-3, atol=1e-3)
    # an untrained decoder gives an almost flat image, of which the epsilon of the variance keeps a part
    torch.testing.assert_close(found.std, wanted.std, rtol=0.3, atol=0.0)
    assert not torch.allclose(image, batch.image, atol=0.1)
    assert not image.requires_grad


def test_a_step_costs_a_forward_pass_for_each_ascent_and_two_more():
    ctx = make_context(make_method(DECLARATION, {"steps": 3, "probability": 1.0}))
    ctx.run_step(toy_batch(0))
    assert ctx.forward_passes == 5
    assert set(ctx.losses) == {"segmentation", "reconstruction", "stylised"}


def test_a_batch_of_one_is_segmented_and_reconstructed_but_not_restyled():
    ctx = make_context(make_method(DECLARATION, {"probability": 1.0}))
    ctx.run_step(toy_batch(0, n=1))
    assert ctx.forward_passes == 1
    assert ctx.active_steps == 0
