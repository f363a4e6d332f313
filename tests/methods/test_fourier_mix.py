"""The method around `mix_amplitude`, whose own test compares it with numpy."""

import torch

from dgsweep.method.amplitude import mix_amplitude
from dgsweep.method.conformance import MethodConformance, make_context, make_method, toy_batch
from dgsweep_methods.fourier_mix import DECLARATION


class TestFourierMixKeepsItsWord(MethodConformance):
    declaration = DECLARATION


def shown(batch, seed=0, **values):
    method = make_method(DECLARATION, values)
    ctx = make_context(method, seed=seed)
    (view,) = method.views(ctx, batch)
    assert view.label is batch.label
    return view.image


def phase(image):
    return torch.fft.rfftn(image - image.amin(dim=(2, 3, 4), keepdim=True), dim=(2, 3, 4)).angle()


def test_amplitudes_come_from_the_sample_of_the_other_domain():
    batch = toy_batch(0, n=2)
    image = shown(batch, probability=1.0, extent=0.5)
    generator = make_context(make_method(DECLARATION)).generator
    torch.rand(2, 2, generator=generator)  # the partners: with two samples of two domains each is the other's
    share = torch.rand(2, 2, generator=generator)[1]
    torch.testing.assert_close(image, mix_amplitude(batch.image, batch.image.flip(0), share, 0.5))
    assert not torch.allclose(image, mix_amplitude(batch.image, batch.image, share, 0.5), atol=0.1)


def test_phases_stay_where_nothing_is_clipped():
    batch = toy_batch(0)
    image = shown(batch, probability=1.0, alpha=0.05, extent=0.1)
    turned = torch.polar(torch.ones(()), phase(image) - phase(batch.image)).real
    assert float(turned.median()) > 0.999
    assert not torch.allclose(image, batch.image, atol=1e-3)


def test_a_bright_object_stays_bright_and_a_dark_one_dark():
    # The second domain of the toy batch has inverted contrast: amplitudes cannot bring it over.
    batch = toy_batch(0, n=2)
    image = shown(batch, probability=1.0, extent=0.5)
    inside = [
        float(one[0][label == 1].mean() - one[0][label == 0].mean())
        for one, label in zip(image, batch.label, strict=True)
    ]
    assert inside[0] > 0.2
    assert inside[1] < -0.2


def test_probability_is_the_share_of_samples_that_are_mixed():
    batch, mixed = toy_batch(0), 0
    for seed in range(50):
        image = shown(batch, seed, probability=0.25)
        mixed += sum(not torch.equal(new, old) for new, old in zip(image, batch.image, strict=True))
    # 200 samples at 0.25: 50 expected, deviation 6.
    assert 30 <= mixed <= 70


def test_alpha_limits_the_change():
    batch = toy_batch(0)
    change = [
        float((shown(batch, probability=1.0, extent=0.5, alpha=alpha) - batch.image).abs().mean())
        for alpha in (0.1, 0.5, 1.0)
    ]
    assert change[0] < 0.5 * change[1] < change[2]


def test_a_batch_of_one_domain_is_shown_as_it_is_and_is_not_counted_as_active():
    batch = toy_batch(0, n_domains=1)
    assert shown(batch, probability=1.0) is batch.image
    ctx = make_context(make_method(DECLARATION, {"probability": 1.0}))
    ctx.run_step(batch)
    assert ctx.active_steps == 0
