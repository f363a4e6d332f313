"""nnU-Net's intensity changes against its formulas written out one sample and channel at a time."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate1d
from torch.nn import functional

from dgsweep.method.base import Method
from dgsweep.method.conformance import MethodConformance, make_context, make_method, toy_batch
from dgsweep_methods.nnunet_da import DECLARATION
from dgsweep_methods.nnunet_da.method import (
    around_one,
    blur,
    correct_gamma,
    fine_axes,
    lower_resolution,
    scale_contrast,
    uniform,
)

STAGES = [name for name in DECLARATION.hyperparameters if name.startswith("p_")]


class TestNnunetDaKeepsItsWord(MethodConformance):
    declaration = DECLARATION


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(n: int = 3, channels: int = 2) -> torch.Tensor:
    return torch.randn(n, channels, 9, 8, 7, generator=stream(99)) + 0.3


def each(function, image, value):
    """The function applied to each volume on its own, in numpy or torch."""
    flat = zip(image.flatten(0, 1), value.flatten(0, 1), strict=True)
    return torch.stack([torch.as_tensor(function(volume, one)) for volume, one in flat]).view(image.shape)


def reference_blur(volume, sigmas):
    """Window: six sigma and a half, rounded to the nearest odd number of taps."""
    out = volume.double().numpy()
    for axis, sigma in enumerate(sigmas.double().numpy()):
        wanted = 6 * sigma + 0.5
        taps = min(range(1, 12, 2), key=lambda odd: abs(odd - wanted))
        place = np.arange(taps) - taps // 2
        kernel = np.exp(-0.5 * (place / sigma) ** 2)
        out = correlate1d(out, kernel / kernel.sum(), axis=axis, mode="mirror")
    return out.astype(np.float32)


def reference_gamma(volume, gamma):
    low, span = volume.min(), volume.max() - volume.min()
    bent = ((volume - low) / span) ** gamma * span + low
    return (bent - bent.mean()) / bent.std() * volume.std() + volume.mean()


def reference_contrast(volume, factor):
    return torch.clamp((volume - volume.mean()) * factor + volume.mean(), volume.min(), volume.max())


def reference_low_resolution(volume, zoom):
    small = [max(1, round(size * float(zoom))) for size in volume.shape]
    shrunk = functional.interpolate(volume[None, None], small, mode="nearest-exact")
    return functional.interpolate(shrunk, volume.shape, mode="trilinear")[0, 0]


def all_axes(image, zoom):
    for axis in (2, 3, 4):
        image = lower_resolution(image, zoom, axis)
    return image


@pytest.mark.parametrize(
    ("ours", "reference", "low", "high"),
    [
        (blur, reference_blur, 0.5, 1.0),
        (scale_contrast, reference_contrast, 0.75, 1.25),
        (correct_gamma, reference_gamma, 0.7, 1.5),
        (all_axes, reference_low_resolution, 0.5, 1.0),
    ],
    ids=["blur", "contrast", "gamma", "low resolution"],
)
def test_a_batched_change_equals_its_formula_written_out_for_one_volume(ours, reference, low, high):
    image = images()
    shape = (3, 2, 3) if ours is blur else (3, 2)
    for seed in range(5):
        value = uniform(shape, (low, high), stream(seed))
        changed = ours(image, value)
        torch.testing.assert_close(changed, each(reference, image, value), rtol=1e-4, atol=1e-4)
        assert not torch.allclose(changed, each(reference, image, value.flip(0)), atol=1e-2)
        assert not torch.allclose(changed, image, atol=1e-2)


def test_low_resolution_along_one_axis_leaves_a_profile_across_it_untouched():
    profile = torch.randn(1, 1, 1, 8, 1, generator=stream()).expand(1, 1, 6, 8, 5).contiguous()
    zoom = torch.tensor([[0.6]])
    torch.testing.assert_close(lower_resolution(profile, zoom, 2), profile)
    assert not torch.allclose(lower_resolution(profile, zoom, 3), profile, atol=1e-2)


def test_gamma_keeps_mean_deviation_and_order_of_intensities():
    image = images()
    bent = correct_gamma(image, torch.full((3, 2), 1.5))
    torch.testing.assert_close(bent.mean((2, 3, 4)), image.mean((2, 3, 4)), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(bent.std((2, 3, 4)), image.std((2, 3, 4)), rtol=1e-4, atol=1e-5)
    assert torch.equal(bent.flatten(2).argsort(-1), image.flatten(2).argsort(-1))
    assert not torch.allclose(bent, image, atol=1e-2)


def test_half_of_the_factors_lie_below_one():
    # 4000 draws: 2000 expected, standard deviation 32; the plain uniform draw would give 1500.
    factors = around_one((4000,), (0.7, 1.5), stream())
    assert 1870 <= int((factors < 1).sum()) <= 2130
    assert 0.7 <= float(factors.min()) < 0.72
    assert 1.48 < float(factors.max()) <= 1.5


def method_with(**values):
    return make_method(DECLARATION, dict.fromkeys(STAGES, 0.0) | values)


def shown(method, batch, seed=0):
    ctx = make_context(method, seed=seed)
    (view,) = method.views(ctx, batch)
    assert view.label is batch.label
    return view.image


def test_noise_has_a_deviation_between_zero_and_the_limit():
    method, batch = method_with(p_noise=1.0), toy_batch(0, n=64)
    deviation = (shown(method, batch) - batch.image).std((1, 2, 3, 4))
    assert float(deviation.min()) < 0.02
    assert 0.09 < float(deviation.max()) < 0.105
    assert float(deviation.mean()) == pytest.approx(0.05, abs=0.012)


def test_brightness_multiplies_each_sample_by_a_factor_of_its_own():
    batch = toy_batch(0, n=16)
    ratio = shown(method_with(p_brightness=1.0), batch) / batch.image
    factor = ratio.flatten(1).median(dim=1).values
    torch.testing.assert_close(ratio, factor.view(-1, 1, 1, 1, 1).expand_as(ratio), rtol=1e-4, atol=1e-5)
    assert bool(((factor >= 0.75) & (factor <= 1.25)).all())
    assert len(factor.unique()) == 16


def test_inverted_gamma_is_gamma_of_the_negative_image():
    batch = toy_batch(0)
    inverted = shown(method_with(p_gamma_inverted=1.0), batch)
    gamma = around_one((4, 1), (0.7, 1.5), stream_after_choice())
    torch.testing.assert_close(inverted, -correct_gamma(-batch.image, gamma))
    assert not torch.allclose(inverted, correct_gamma(batch.image, gamma), atol=1e-2)


def stream_after_choice():
    """The method's stream at step 0 after it has drawn which samples each of the seven changes touches."""
    generator = make_context(Method()).generator
    uniform((7, 4), (0.0, 1.0), generator)
    return generator


@pytest.mark.parametrize("stage", STAGES)
def test_each_change_works_alone_and_touches_its_share_of_the_samples(stage):
    touched = 0
    for seed in range(25):
        batch = toy_batch(0, n=8)
        new = shown(method_with(**{stage: 0.5}), batch, seed)
        touched += sum(not torch.equal(one, old) for one, old in zip(new, batch.image, strict=True))
    # 200 samples at 0.5: 100 expected, deviation 7; blur and low resolution spare half of the channels: 50, 6.
    low, high = (25, 75) if stage in ("p_blur", "p_low_resolution") else (72, 128)
    assert low <= touched <= high


def test_samples_that_are_not_chosen_are_bit_for_bit_the_same():
    batch = toy_batch(0, n=64)
    new = shown(method_with(p_gamma=0.3), batch)
    same = [torch.equal(one, old) for one, old in zip(new, batch.image, strict=True)]
    assert 0 < sum(same) < 64


@pytest.mark.parametrize(("spacing_mm", "spared"), [((1.0, 1.0, 3.5), True), ((1.0, 1.0, 3.0), False)])
def test_the_coarse_axis_of_anisotropic_voxels_keeps_its_resolution(spacing_mm, spared):
    profile = torch.randn(1, 1, 1, 1, 8, generator=stream()).expand(16, 1, 16, 16, 8).contiguous()
    batch = replace(toy_batch(0, n=16), image=profile)
    method = method_with(p_low_resolution=1.0)
    ctx = make_context(method)
    ctx.recipe = replace(ctx.recipe, spacing_mm=spacing_mm)
    (view,) = method.views(ctx, batch)
    assert torch.allclose(view.image, profile, atol=1e-5) is spared


def test_only_a_ratio_above_three_makes_an_axis_coarse():
    assert fine_axes((1.0, 1.0, 3.0)) == (2, 3, 4)
    assert fine_axes((4.0, 1.0, 1.0)) == (3, 4)


def test_nothing_chosen_returns_the_very_image_and_is_not_counted_as_active():
    method, batch = method_with(), toy_batch(0)
    ctx = make_context(method)
    (view,) = method.views(ctx, batch)
    assert view.image is batch.image
    ctx.run_step(batch)
    assert ctx.active_steps == 0


def test_a_patch_thinner_than_the_blur_is_blurred_too():
    thin = torch.randn(1, 1, 8, 8, 2, generator=stream())
    assert bool(torch.isfinite(blur(thin, torch.ones(1, 1, 3))).all())
