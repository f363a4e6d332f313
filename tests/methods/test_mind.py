"""MIND-SSC against plain loops over voxels and pairs, and its invariance to the sign of contrast."""

import itertools

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate1d

from dgsweep.method.conformance import MethodConformance, make_context, make_method, toy_batch
from dgsweep.method.descriptors import PAIRS, mind_ssc
from dgsweep_methods.mind import DECLARATION


class TestMindKeepsItsWord(MethodConformance):
    declaration = DECLARATION


def images(n: int = 2, channels: int = 1) -> torch.Tensor:
    return torch.randn(n, channels, 6, 5, 7, generator=torch.Generator().manual_seed(3))


def reference(volume: np.ndarray, delta: int, sigma: float) -> np.ndarray:
    """One volume, voxel by voxel; a neighbour beyond the border is the nearest voxel inside."""
    steps = [(-1, 0, 0), (1, 0, 0), (0, -1, 0), (0, 1, 0), (0, 0, -1), (0, 0, 1)]
    pairs = [(a, b) for a, b in itertools.combinations(steps, 2) if any(i + j for i, j in zip(a, b, strict=True))]

    def at(voxel, step):
        place = (i + delta * s for i, s in zip(voxel, step, strict=True))
        return volume[tuple(min(max(i, 0), size - 1) for i, size in zip(place, volume.shape, strict=True))]

    squared = np.zeros((12, *volume.shape))
    for index, (a, b) in enumerate(pairs):
        for voxel in np.ndindex(volume.shape):
            squared[index][voxel] = (at(voxel, a) - at(voxel, b)) ** 2
    reach = int(np.ceil(1.5 * sigma))
    bell = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * sigma**2))
    for axis in (1, 2, 3):
        squared = correlate1d(squared, bell / bell.sum(), axis=axis, mode="nearest")
    found = np.zeros_like(squared)
    mean_spread = np.mean([np.mean(squared[:, x, y, z] - squared[:, x, y, z].min()) for x, y, z in
                           np.ndindex(volume.shape)])  # fmt: skip
    for x, y, z in np.ndindex(volume.shape):
        gap = squared[:, x, y, z] - squared[:, x, y, z].min()
        found[:, x, y, z] = np.exp(-gap / min(max(gap.mean(), 0.001 * mean_spread), 1000 * mean_spread))
    return found


@pytest.mark.parametrize(("delta", "sigma"), [(1, 1.0), (2, 1.0), (1, 0.5), (2, 2.0)])
def test_the_descriptors_equal_a_loop_over_voxels_and_pairs(delta, sigma):
    image = images()
    found = mind_ssc(image, delta, sigma)
    expected = torch.tensor(np.stack([reference(one[0].double().numpy(), delta, sigma) for one in image])).float()
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
    assert not torch.allclose(found, expected.flip(0), atol=1e-1)
    assert not torch.allclose(found, mind_ssc(image, 3 - delta, sigma), atol=1e-1)


def test_each_channel_has_its_own_twelve():
    image = images(channels=2)
    found = mind_ssc(image, 1, 1.0)
    assert found.shape == (2, 24, 6, 5, 7)
    torch.testing.assert_close(found[:, :12], mind_ssc(image[:, :1], 1, 1.0))
    torch.testing.assert_close(found[:, 12:], mind_ssc(image[:, 1:], 1, 1.0))
    assert len(set(PAIRS)) == 12


def test_a_negative_image_has_the_same_descriptors_bit_for_bit():
    image = images()
    assert torch.equal(mind_ssc(-image, 1, 1.0), mind_ssc(image, 1, 1.0))
    assert not torch.allclose(mind_ssc(image**2, 1, 1.0), mind_ssc(image, 1, 1.0), atol=1e-1)


@pytest.mark.parametrize(("slope", "shift"), [(3.0, 0.0), (-0.2, 1.0), (1.0, -4.0)])
def test_scale_and_shift_of_the_intensities_do_not_matter(slope, shift):
    image = images()
    torch.testing.assert_close(mind_ssc(slope * image + shift, 1, 1.0), mind_ssc(image, 1, 1.0), rtol=1e-3, atol=1e-4)


def test_an_edge_is_seen():
    edge = torch.zeros(1, 1, 8, 8, 8)
    edge[:, :, 4:] = 1.0
    found = mind_ssc(edge, 1, 1.0)
    assert float(found[..., 3:5, 2:6, 2:6].amin()) < 0.5
    assert float(found[..., 0, 2:6, 2:6].amin()) > 0.9


def test_a_constant_image_is_described_by_ones():
    assert torch.equal(mind_ssc(torch.full((1, 1, 6, 5, 7), 2.0), 1, 1.0), torch.ones(1, 12, 6, 5, 7))


def test_the_mirrored_image_has_other_channels_than_the_mirrored_descriptors():
    # This is why the platform mirrors a window before it asks for its descriptors.
    image = images()
    late, early = mind_ssc(image, 1, 1.0).flip(2), mind_ssc(image.flip(2), 1, 1.0)
    assert not torch.allclose(late, early, atol=1e-1)
    torch.testing.assert_close(late.sort(dim=1).values, early.sort(dim=1).values, rtol=1e-3, atol=1e-4)


def test_the_network_gets_twelve_channels_in_training_and_at_prediction():
    method, batch = make_method(DECLARATION), toy_batch(0)
    ctx = make_context(method)
    (view,) = method.views(ctx, batch)
    assert view.label is batch.label
    assert view.image.shape == (4, method.in_channels(1), *batch.image.shape[2:])
    predicted = method.infer_input(ctx, batch.image)
    assert torch.equal(predicted, method.infer_input(ctx, batch.image))
    assert torch.equal(predicted, method.infer_input(ctx, -batch.image))
    assert torch.equal(predicted, mind_ssc(batch.image, 1, 1.0))


def test_noise_is_used_in_training_only_and_from_the_methods_stream():
    batch = toy_batch(0)
    noisy = [make_method(DECLARATION).views(make_context(make_method(DECLARATION)), batch)[0].image for _ in range(2)]
    silent = make_method(DECLARATION, {"noise": 0.0})
    clean = silent.views(make_context(silent), batch)[0].image
    assert torch.equal(noisy[0], noisy[1])
    assert torch.equal(clean, silent.infer_input(make_context(silent), batch.image))
    assert not torch.allclose(noisy[0], clean, atol=1e-2)


def test_a_sample_is_described_without_regard_to_the_rest_of_the_batch():
    image = images() * torch.tensor([1.0, 100.0]).view(2, 1, 1, 1, 1)
    torch.testing.assert_close(mind_ssc(image, 1, 1.0)[:1], mind_ssc(image[:1], 1, 1.0))
