"""Patches of one case: they cover it, lie inside it, and pad what is too small."""

import pytest
import torch

from dgsweep.method.patches import by_tiles, padded, random_patch, tiles

PATCH = (4, 5, 6)


def numbered(*shape: int) -> torch.Tensor:
    return torch.arange(1.0, 1 + shape[0] * shape[1] * shape[2]).view(1, 1, *shape)


@pytest.mark.parametrize(
    ("shape", "count"), [((4, 5, 6), 1), ((5, 5, 6), 2), ((12, 10, 6), 6), ((3, 11, 13), 9), ((9, 16, 1), 12)]
)
def test_tiles_cover_every_voxel_with_the_least_number_of_patches(shape, count):
    found = list(tiles(numbered(*shape), PATCH))
    assert len(found) == count
    assert all(tile.shape == (1, 1, *PATCH) for tile in found)
    seen = set(torch.cat([tile.flatten() for tile in found]).tolist()) - {0.0}
    assert seen == set(numbered(*shape).flatten().tolist())


def test_a_case_smaller_than_a_patch_is_centred_in_zeros():
    image = padded(numbered(3, 5, 2), PATCH)
    assert image.shape == (1, 1, *PATCH)
    assert torch.equal(image[:, :, 0:3, :, 2:4], numbered(3, 5, 2))
    assert image.sum() == numbered(3, 5, 2).sum()
    assert padded(image, PATCH) is image


def test_random_patches_lie_inside_and_reach_both_ends():
    image, generator = numbered(6, 5, 6), torch.Generator().manual_seed(0)
    found = [random_patch(image, PATCH, generator) for _ in range(60)]
    assert all(patch.shape == (1, 1, *PATCH) and float(patch.min()) > 0 for patch in found)
    assert {int((patch.min().item() - 1) // 30) for patch in found} == {0, 1, 2}


def test_without_a_size_the_case_itself_is_the_patch():
    image = numbered(3, 4, 5)
    assert next(tiles(image, None)) is image
    assert random_patch(image, None, torch.Generator()) is image


@pytest.mark.parametrize("size", [(5, 6, 7), (3, 9, 4)])
def test_what_is_predicted_by_tiles_lies_where_it_was_cut(size):
    image = torch.randn(1, 2, *size, generator=torch.Generator().manual_seed(0))
    found = by_tiles(image, (4, 4, 4), lambda tile: 2.0 * tile[:, :1])
    assert torch.allclose(found, 2.0 * image[:, :1])
    assert torch.equal(by_tiles(image, None, lambda tile: tile + 1.0), image + 1.0)


def test_overlapping_tiles_are_averaged():
    numbers = iter([1.0, 3.0])
    found = by_tiles(torch.zeros(1, 1, 6, 1, 1), (4, 1, 1), lambda tile: torch.full_like(tile, next(numbers)))
    assert found.flatten().tolist() == [1.0, 1.0, 2.0, 2.0, 3.0, 3.0]
