"""Feature maps as sets of vectors."""

import pytest
import torch

from dgsweep.method.features import by_domain, voxel_vectors

FEATURE = torch.arange(2 * 3 * 4 * 2 * 2, dtype=torch.float32).view(2, 3, 4, 2, 2)


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_small_map_gives_every_voxel_once_in_order():
    vectors = voxel_vectors(FEATURE, 16, stream())
    assert vectors.shape == (2, 16, 3)
    assert torch.equal(vectors[1, 5], FEATURE[1, :, 1, 0, 1])


def test_a_large_map_gives_distinct_voxels_at_the_same_places_of_every_sample():
    vectors = voxel_vectors(FEATURE, 6, stream())
    assert vectors.shape == (2, 6, 3)
    assert len(set(vectors[0, :, 0].tolist())) == 6
    assert torch.equal(vectors[1] - vectors[0], torch.full((6, 3), 48.0))
    assert torch.equal(vectors, voxel_vectors(FEATURE, 6, stream()))
    assert not torch.equal(vectors, voxel_vectors(FEATURE, 6, stream(1)))


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_the_vectors_are_float32_and_gradients_reach_the_map(kind):
    feature = torch.ones(1, 2, 2, 2, 2, dtype=kind, requires_grad=True)
    vectors = voxel_vectors(feature, 3, stream())
    assert vectors.dtype == torch.float32
    vectors.sum().backward()
    assert float(feature.grad.float().sum()) == 6.0


def test_vectors_are_pooled_over_the_samples_of_a_domain():
    vectors = torch.arange(4.0).view(4, 1, 1).expand(4, 2, 1)
    first, second = by_domain(vectors, torch.tensor([7, 3, 7, 7]))
    assert first.flatten().tolist() == [1, 1]
    assert second.flatten().tolist() == [0, 0, 2, 2, 3, 3]
