import numpy as np
import pytest
import torch

from dgsweep.method.promptable.embeddings import Embeddings, embeddings_key
from dgsweep.method.promptable.slices import Preparation

FACTS = {
    "weights_sha256": "a" * 64,
    "family": "medsam",
    "image_size": 1024,
    "device": "cpu",
    "preparation": Preparation(),
}


@pytest.fixture
def kept():
    maps = {3: (torch.rand(2, 4, 4), torch.rand(3, 2, 2)), 11: (torch.rand(2, 4, 4), torch.rand(3, 2, 2))}
    return Embeddings(key="k", maps=maps, position=torch.rand(4, 1, 3))


def test_what_is_saved_is_read_again(kept, tmp_path):
    kept.save(tmp_path / "deep" / "case.safetensors")
    read = Embeddings.load(tmp_path / "deep" / "case.safetensors", "k")
    assert list(read.maps) == [3, 11]
    for z, maps in kept.maps.items():
        assert all(torch.equal(mine, theirs) for mine, theirs in zip(maps, read.maps[z], strict=True))
    assert torch.equal(read.position, kept.position)
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["case.safetensors"]


def test_a_file_of_another_key_a_broken_one_and_none_are_empty(kept, tmp_path):
    path = tmp_path / "case.safetensors"
    assert not Embeddings.load(path, "k").maps
    kept.save(path)
    assert not Embeddings.load(path, "another").maps
    path.write_bytes(path.read_bytes()[:-5])
    assert not Embeddings.load(path, "k").maps
    path.write_bytes(b"")
    assert Embeddings.load(path, "k") == Embeddings(key="k")


def test_the_key_changes_with_every_fact_that_the_embeddings_depend_on():
    volume = np.arange(24.0).reshape(4, 3, 2)
    others = [
        {"weights_sha256": "b" * 64},
        {"family": "sam"},
        {"image_size": 512},
        {"device": "cuda"},
        {"preparation": Preparation(high_pct=99)},
        {"preparation": Preparation(view="array")},
    ]
    keys = {embeddings_key(volume, **{**FACTS, **other}) for other in ({}, *others)}
    volumes = [volume + 1e-9, volume.reshape(3, 4, 2), volume.astype(np.float32)]
    keys |= {embeddings_key(other, **FACTS) for other in volumes}
    assert len(keys) == 1 + len(others) + len(volumes)
    assert embeddings_key(np.asfortranarray(volume), **FACTS) == embeddings_key(volume.copy(), **FACTS)


def test_slices_that_are_missing_are_named_once_in_order(kept):
    assert kept.missing([12, 3, 0, 12]) == [0, 12]
