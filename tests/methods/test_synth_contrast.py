"""Contrast synthesis: clusters against SciPy's k-means, mixture and thick voxels against NumPy and SciPy."""

import numpy as np
import pytest
import torch
from scipy import ndimage
from scipy.cluster.vq import kmeans2

from dgsweep.method.base import Batch
from dgsweep.method.conformance import MethodConformance, make_context, make_method, toy_batch
from dgsweep_methods.synth_contrast import DECLARATION
from dgsweep_methods.synth_contrast.method import cluster_background, sample_mixture, smooth_noise, thicken

SIZE = (10, 9, 8)


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def scene(n: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    """Three tissues with noise, and two structures, the second one in the first sample only."""
    image = torch.randn(n, 1, *SIZE, generator=stream()) * 0.3
    image[:, :, 3:] += 3
    image[:, :, 7:] += 4
    label = torch.zeros(n, *SIZE, dtype=torch.long)
    label[:, 2:4, 2:4], label[:1, 5:7, 5:7] = 1, 2
    return image, label


@pytest.mark.parametrize("clusters", [1, 3, 5])
def test_the_background_is_clustered_like_scipys_k_means_from_the_same_start(clusters):
    image, label = scene()
    classes = cluster_background(image, label, clusters, rounds=10)
    for sample in range(2):
        background = (label[sample] == 0).numpy()
        value = np.sort(image[sample, 0].numpy()[background])
        start = value[((np.arange(clusters) + 0.5) / clusters * len(value)).astype(int)]
        centres, _ = kmeans2(value[:, None], start[:, None], iter=10, minit="matrix")
        far = np.abs(image[sample, 0].numpy()[background][:, None] - np.sort(centres[:, 0]))
        assert np.array_equal(classes[sample].numpy()[background], far.argmin(1))
    unfitted = cluster_background(image, label, clusters, rounds=0)
    assert torch.equal(classes, unfitted) == (clusters < 5)  # the start is good enough for the three tissues


def test_structures_are_classes_of_their_own_after_the_clusters():
    image, label = scene()
    classes = cluster_background(image, label, 4)
    assert torch.equal(classes >= 4, label > 0)
    assert torch.equal(classes[label > 0], label[label > 0] + 3)


def test_probes_are_enough_to_find_the_tissues():
    image, label = scene()
    few, all_of_them = (cluster_background(image, label, 3, probes=probes) for probes in (60, 10**6))
    assert (few == all_of_them).float().mean() > 0.99
    assert few[label == 0].unique().tolist() == [0, 1, 2]


def test_a_patch_without_background_or_without_contrast_is_clustered_too():
    image, label = scene()
    assert torch.equal(cluster_background(image, torch.ones_like(label), 4), torch.full_like(label, 4))
    assert bool((cluster_background(torch.ones_like(image), 0 * label, 4) < 4).all())


def test_each_class_has_its_own_gaussian():
    classes = torch.randint(3, (2, 30, 30, 30), generator=stream())
    mean = torch.tensor([[10.0, 20.0, 30.0], [-5.0, 0.0, 5.0]])[:, :, None]
    deviation = torch.tensor([[1.0, 2.0, 3.0], [0.5, 0.1, 2.0]])[:, :, None]
    drawn = sample_mixture(classes, mean, deviation, torch.randn(2, 1, 30, 30, 30, generator=stream(1)))
    for sample in range(2):
        for index in range(3):
            values = drawn[sample, 0][classes[sample] == index]
            assert float(values.mean()) == pytest.approx(float(mean[sample, index, 0]), abs=0.1)
            assert float(values.std()) == pytest.approx(float(deviation[sample, index, 0]), rel=0.05)


def test_the_noise_of_each_channel_stays_with_its_channel():
    classes = torch.zeros(1, *SIZE, dtype=torch.long)
    noise = torch.randn(1, 2, *SIZE, generator=stream())
    drawn = sample_mixture(classes, torch.tensor([[[1.0, 2.0]]]), torch.tensor([[[3.0, 0.0]]]), noise)
    torch.testing.assert_close(drawn[:, 0], 1 + 3 * noise[:, 0])
    assert bool((drawn[:, 1] == 2).all())


def test_thick_voxels_are_scipys_blur_kept_at_every_second_plane_and_interpolated():
    image = torch.randn(2, 1, 11, 9, 7, generator=stream())
    factor = torch.tensor([[2.0, 1.0, 1.0], [1.0, 1.0, 3.0]])
    thick = thicken(image, factor)
    for sample, axis, step in ((0, 0, 2), (1, 2, 3)):
        sigma = [0.5, 0.5, 0.5]
        sigma[axis] = 0.75 * step
        blurred = ndimage.gaussian_filter(image[sample, 0].numpy(), sigma, mode="nearest")
        size = blurred.shape[axis]
        kept = np.moveaxis(blurred, axis, 0)[::step]
        where = np.arange(size) / step
        low = np.floor(where).astype(int)
        high = np.minimum(low + 1, len(kept) - 1)
        share = (where - low)[:, None, None]
        expected = np.moveaxis((1 - share) * kept[low] + share * kept[high], 0, axis)
        np.testing.assert_allclose(thick[sample, 0].numpy(), expected, atol=1e-5)
        assert not np.allclose(thick[sample, 0].numpy(), blurred, atol=1e-2)


def test_smooth_noise_has_the_deviation_at_its_nodes_for_each_sample():
    field = smooth_noise(torch.tensor([2.0, 0.0]), 3, 4, (10, 10, 10), stream())
    assert field.shape == (2, 3, 10, 10, 10)
    # With aligned corners every third voxel is a node.
    assert 1.5 < float(field[0, :, ::3, ::3, ::3].std()) < 2.5
    assert not field[1].any()


def bright_ball(n: int = 4) -> Batch:
    axes = torch.meshgrid(*[torch.linspace(-1, 1, 20)] * 3, indexing="ij")
    label = (sum(axis**2 for axis in axes) < 0.3).long().expand(n, -1, -1, -1)
    image = label[:, None].float() * 4 + 0.1 * torch.randn(n, 1, 20, 20, 20, generator=stream())
    return Batch(image=image, label=label, domain=torch.zeros(n).long(), case_ids=("b",) * n)


def test_the_structure_comes_out_brighter_or_darker_than_its_surroundings_about_equally_often():
    method = make_method(DECLARATION, {"bias": 0.0, "max_thickness_mm": 0.0, "max_voxel_mm": 0.0})
    ctx, batch, brighter, total = make_context(method), bright_ball(), 0, 0
    for seed in range(15):
        ctx.generator.manual_seed(seed)
        (view,) = method.views(ctx, batch)
        for image, label in zip(view.image[:, 0], view.label, strict=True):
            brighter += int(image[label == 1].mean() > image[label == 0].mean())
            total += 1
    assert total == 60
    assert 15 <= brighter <= 45


def test_the_label_follows_the_deformation_and_stays_without_it():
    batch = bright_ball()
    method = make_method(DECLARATION, {"clusters": 1, "max_thickness_mm": 0.0, "max_voxel_mm": 0.0, "bias": 0.0})
    (view,) = method.views(make_context(method), batch)
    assert not torch.equal(view.label, batch.label)
    for image, label, old in zip(view.image[:, 0], view.label, batch.label, strict=True):
        inside = abs(image[label == 1].mean() - image[label == 0].mean())
        before = abs(image[old == 1].mean() - image[old == 0].mean())
        assert inside > before


def test_views_are_z_scored_and_unchosen_samples_are_untouched():
    method = make_method(DECLARATION, {"probability": 0.5})
    ctx, batch, kept = make_context(method), toy_batch(0), 0
    for seed in range(25):
        ctx.generator.manual_seed(seed)
        (view,) = method.views(ctx, batch)
        for index in range(4):
            if torch.equal(view.image[index], batch.image[index]):
                kept += 1
                assert torch.equal(view.label[index], batch.label[index])
            else:
                assert float(view.image[index].mean()) == pytest.approx(0, abs=1e-4)
                assert float(view.image[index].std()) == pytest.approx(1, abs=1e-3)
    assert 35 <= kept <= 65  # of 100, standard deviation 5


class TestSynthContrast(MethodConformance):
    declaration = DECLARATION
