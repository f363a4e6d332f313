"""BigAug's transformations against SciPy and closed forms, and the stack as a whole."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from dgsweep.method.base import Batch
from dgsweep.method.conformance import MethodConformance, make_context, make_method, toy_batch
from dgsweep.method.volume import unit_range
from dgsweep_methods.bigaug import DECLARATION
from dgsweep_methods.bigaug.method import elastic_shift, gamma_contrast, sharpen


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images() -> torch.Tensor:
    return torch.randn(2, 1, 12, 10, 8, generator=stream(3)) * 2 + 1


def test_sharpening_is_the_unsharp_mask_written_with_scipy():
    image = images()
    fine, coarse, amount = torch.tensor([0.5, 1.2]), torch.tensor([1.0, 0.4]), torch.tensor([12.0, 25.0])
    sharp = sharpen(image, fine, coarse, amount)
    for sample in range(2):
        blurred = ndimage.gaussian_filter(image[sample, 0].numpy(), float(fine[sample]), mode="nearest")
        twice = ndimage.gaussian_filter(blurred, float(coarse[sample]), mode="nearest")
        expected = blurred + float(amount[sample]) * (blurred - twice)
        np.testing.assert_allclose(sharp[sample, 0].numpy(), expected, atol=1e-3)
        assert not np.allclose(sharp[sample, 0].numpy(), blurred, atol=0.1)


def test_gamma_bends_monotonically_and_keeps_mean_and_deviation():
    image = images()
    bent = gamma_contrast(image, torch.tensor([0.5, 4.0]))
    torch.testing.assert_close(bent.mean((2, 3, 4)), image.mean((2, 3, 4)), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(bent.std((2, 3, 4)), image.std((2, 3, 4)), rtol=1e-4, atol=1e-4)
    for old, new in zip(image.flatten(1), bent.flatten(1), strict=True):
        assert bool((new[old.argsort()].diff() >= -1e-5).all())
    middle, unit = unit_range(bent), unit_range(image)
    torch.testing.assert_close(middle[1], unit[1] ** 4.0, rtol=1e-3, atol=1e-4)
    assert not torch.allclose(middle[0], unit[0] ** 4.0, atol=1e-2)


def test_gamma_one_changes_nothing():
    torch.testing.assert_close(gamma_contrast(images(), torch.ones(2)), images(), rtol=1e-4, atol=1e-4)


def test_the_elastic_shift_is_scipys_periodic_gaussian_of_the_noise():
    noise = torch.rand(2, 3, 24, 20, 16, generator=stream(1)) * 2 - 1
    sigma, alpha = torch.tensor([1.5, 2.5]), torch.tensor([3.0, 40.0])
    shift = elastic_shift(noise, sigma, alpha)
    for sample in range(2):
        for axis in range(3):
            field = ndimage.gaussian_filter(noise[sample, axis].numpy(), float(sigma[sample]), mode="wrap", truncate=6)
            field -= field.mean()
            np.testing.assert_allclose(shift[sample, axis].numpy(), float(alpha[sample]) * field, atol=2e-3)
    assert not torch.allclose(shift[0] / 3, shift[1] / 40, atol=1e-2)


def test_a_patch_smaller_than_the_gaussian_is_not_shifted_out_of_its_frame():
    noise = torch.rand(1, 3, 16, 16, 8, generator=stream(1)) * 2 - 1
    shift = elastic_shift(noise, torch.tensor([10.0]), torch.tensor([1000.0]))
    assert float(shift.abs().max()) < 1
    assert float((1000 * noise.mean((2, 3, 4))).abs().max()) > 1


def ball_batch(n: int = 4) -> Batch:
    """A bright ball whose voxels are exactly the label."""
    axes = torch.meshgrid(*[torch.linspace(-1, 1, 24)] * 3, indexing="ij")
    label = (sum(axis**2 for axis in axes) < 0.3).long().expand(n, -1, -1, -1)
    return Batch(image=label[:, None].float() * 4, label=label, domain=torch.zeros(n).long(), case_ids=("b",) * n)


def test_the_label_follows_the_image_through_rotation_scale_and_deformation():
    method = make_method(DECLARATION, {"probability": 1.0})
    ctx, batch = make_context(method), ball_batch()
    (view,) = method.views(ctx, batch)
    inside = view.label == 1
    assert not torch.equal(view.label, batch.label)
    bright, dark = view.image[:, 0][inside].median(), view.image[:, 0][~inside].median()
    assert bright > dark
    unmoved = batch.label == 1
    overlap = (inside & unmoved).sum() / (inside | unmoved).sum()
    edges = view.image[:, 0] > (bright + dark) / 2
    assert (edges == inside).float().mean() > (edges == unmoved).float().mean()
    assert overlap < 0.9


@pytest.mark.parametrize(("scale", "grows"), [(0.4, False), (1.6, True)])
def test_scale_above_one_enlarges_the_structure(scale, grows, monkeypatch):
    ours = "dgsweep_methods.bigaug.method"
    monkeypatch.setattr(
        f"{ours}.uniform", lambda low, high, shape, *_: torch.full(shape, scale if high == 1.6 else 0.0)
    )
    monkeypatch.setattr(f"{ours}.gaussian_blur", lambda image, sigma: image)
    monkeypatch.setattr(f"{ours}.gamma_contrast", lambda image, gamma: image)
    method, batch = make_method(DECLARATION, {"probability": 1.0}), ball_batch()
    (view,) = method.views(make_context(method), batch)
    ratio = float(view.label.sum() / batch.label.sum())
    assert ratio == pytest.approx(scale**3, rel=0.2)
    assert (ratio > 1) == grows


def test_each_of_the_nine_is_drawn_for_itself_with_the_probability():
    method = make_method(DECLARATION, {"probability": 0.05})
    ctx, batch, changed = make_context(method), toy_batch(0), 0
    for seed in range(50):
        ctx.generator.manual_seed(seed)
        (view,) = method.views(ctx, batch)
        changed += sum(not torch.equal(new, old) for new, old in zip(view.image, batch.image, strict=True))
    # A sample stays with probability 0.95^9 = 0.63: 74 of 200 change, standard deviation 7.
    assert 50 <= changed <= 98


def test_magnitude_zero_leaves_shape_and_labels_and_a_larger_one_moves_more():
    moved = {}
    for magnitude in (0.0, 0.5, 1.5):
        method = make_method(DECLARATION, {"probability": 1.0, "magnitude": magnitude})
        batch = ball_batch()
        (view,) = method.views(make_context(method), batch)
        moved[magnitude] = int((view.label != batch.label).sum())
    assert moved[0.0] == 0 < moved[0.5] < moved[1.5]


def test_thick_slices_are_rotated_in_millimetres():
    method, batch = make_method(DECLARATION, {"probability": 1.0}), ball_batch()
    isotropic, thick = make_context(method), make_context(method)
    object.__setattr__(thick.recipe, "spacing_mm", (1.0, 1.0, 5.0))
    (one,), (other,) = method.views(isotropic, batch), method.views(thick, batch)
    assert not torch.equal(one.label, other.label)


class TestBigAug(MethodConformance):
    declaration = DECLARATION
