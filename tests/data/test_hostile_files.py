"""Damaged and hostile files end as an error that says what to do, and never take memory first."""

import gzip
import tracemalloc

import nibabel as nib
import numpy as np
import pytest

from dgsweep.data.geometry import read_volume
from dgsweep.data.hashes import HashStore, fingerprint
from dgsweep.data.nifti import read_header
from dgsweep.errors import CaseError


def _header(tmp_path, **fields):
    """A valid NIfTI whose header fields are then overwritten, unchecked."""
    header = nib.Nifti1Header()
    header.set_data_shape((4, 4, 4))
    header.set_data_dtype(np.int16)
    header["vox_offset"], header["magic"], header["sform_code"] = 352, b"n+1", 0
    for name, value in fields.items():
        header[name] = value
    path = tmp_path / "scan.nii"
    path.write_bytes(header.binaryblock + b"\0" * 4 + b"\0" * (4 * 4 * 4 * 2))
    return path


def test_the_unchanged_header_is_readable(tmp_path):
    grid, needed = read_header(_header(tmp_path))
    assert (grid.shape, needed) == ((4, 4, 4), 352 + 128)


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"dim": [3, 2048, 2048, 2048, 1, 1, 1, 1]}, "32.0 GiB"),
        ({"dim": [3, 0, 4, 4, 1, 1, 1, 1]}, "shape"),
        ({"dim": [3, -4, 4, 4, 1, 1, 1, 1]}, "shape"),
        ({"dim": [4, 4, 4, 2, 2, 1, 1, 1]}, "2 volumes"),
        ({"dim": [2, 4, 4, 1, 1, 1, 1, 1]}, "shape"),
        ({"dim": [99, 4, 4, 4, 1, 1, 1, 1]}, "shape"),
        ({"pixdim": [1, 0, 1, 1, 0, 0, 0, 0]}, "voxel size"),
        ({"pixdim": [1, np.nan, 1, 1, 0, 0, 0, 0]}, "voxel size"),
        ({"pixdim": [1, 1, 1, 4000, 0, 0, 0, 0]}, "voxel size"),
        ({"sform_code": 1, "srow_x": [0, 0, 0, 0]}, "voxel size"),
        ({"sform_code": 1, "srow_x": [np.inf, 0, 0, 0]}, "NaN or infinity"),
        ({"sform_code": 1, "srow_x": [1, 1, 0, 0], "srow_y": [1, 1, 0, 0], "srow_z": [0, 0, 1, 0]}, "parallel"),
        ({"datatype": 32}, "type complex64"),
        ({"datatype": 128}, "type"),
        ({"datatype": 777}, "header cannot be read"),
        ({"magic": b"ni1"}, "no single-file NIfTI"),
        ({"sizeof_hdr": 12}, "no single-file NIfTI"),
    ],
)
def test_a_header_that_cannot_be_right_is_named(tmp_path, fields, found):
    with pytest.raises(CaseError) as error:
        read_volume(_header(tmp_path, **fields))
    assert found in error.value.problems[0].found
    assert error.value.problems[0].fix
    assert error.value.exit_code == 2


def test_a_fourth_axis_of_one_volume_is_read_as_three_dimensions(tmp_path):
    volume = read_volume(_header(tmp_path, dim=[4, 4, 4, 4, 1, 1, 1, 1]))
    assert volume.array.shape == (4, 4, 4)


def test_a_bomb_is_refused_before_memory_is_taken(tmp_path):
    path = _header(tmp_path, dim=[3, 1290, 1290, 645, 1, 1, 1, 1])  # 4.29 GB as float32, 352 bytes of header
    tracemalloc.start()
    with pytest.raises(CaseError, match="GiB"):
        read_volume(path, max_bytes=2**30)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20


def test_the_cap_is_a_parameter(tmp_path):
    path = _header(tmp_path)
    assert read_volume(path, max_bytes=256).array.shape == (4, 4, 4)
    with pytest.raises(CaseError, match="GiB"):
        read_volume(path, max_bytes=255)


def test_a_gzip_bomb_is_cut_off_at_the_limit(tmp_path):
    path = tmp_path / "bomb.nii.gz"
    path.write_bytes(gzip.compress(b"\0" * 50_000_000))
    assert fingerprint(path, limit=50_000_000).length == 50_000_000
    with pytest.raises(CaseError, match="more than 1000000 bytes"):
        fingerprint(path, limit=1_000_000)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_voxel_that_is_no_number_is_counted(tmp_path, value):
    array = np.zeros((4, 4, 4), np.float32)
    array[1, 2, 3] = value
    nib.save(nib.Nifti1Image(array, np.eye(4)), tmp_path / "scan.nii.gz")
    with pytest.raises(CaseError, match="1 of 64 voxels"):
        read_volume(tmp_path / "scan.nii.gz")


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_random_damage_raises_nothing_but_the_error_for_people(tmp_path, suffix):
    array = np.random.default_rng(0).integers(0, 900, (6, 7, 8)).astype(np.int16)
    nib.save(nib.Nifti1Image(array, np.diag([1.0, 2.0, 3.0, 1.0])), tmp_path / f"whole{suffix}")
    whole = (tmp_path / f"whole{suffix}").read_bytes()
    rng, refused = np.random.default_rng(1), 0
    for trial in range(300):
        damaged = bytearray(whole)
        for place in rng.integers(0, min(len(whole), 360), size=3):
            damaged[place] = rng.integers(256)
        if trial % 3 == 0:
            damaged = damaged[: rng.integers(1, len(whole))]
        path = tmp_path / f"damaged{suffix}"
        path.write_bytes(damaged)
        try:
            read_volume(path, max_bytes=2**24)
        except CaseError as error:
            refused += bool(error.problems)
    assert 100 < refused <= 300


def test_equal_content_has_equal_fingerprints_whatever_name_or_compression(tmp_path):
    array = np.arange(64, dtype=np.int16).reshape(4, 4, 4)
    for name in ("a.nii", "b.nii.gz"):
        nib.save(nib.Nifti1Image(array, np.eye(4)), tmp_path / name)
    nib.save(nib.Nifti1Image(array + np.int16(1), np.eye(4)), tmp_path / "c.nii")
    first, second, other = (fingerprint(tmp_path / name, limit=10**6) for name in ("a.nii", "b.nii.gz", "c.nii"))
    assert first == second
    assert first.sha != other.sha


def test_the_hash_store_reads_an_unchanged_file_once_and_a_changed_one_again(tmp_path):
    import os

    path = tmp_path / "scan.nii"
    path.write_bytes(b"first")
    os.utime(path, (1_000_000, 1_000_000))
    store = HashStore(tmp_path / "hashes.json")
    first = store.fingerprint(path, limit=100)
    store.save()
    status = path.stat()
    path.write_bytes(b"other")  # same size and inode; with the old date nothing tells the difference
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    kept = HashStore(tmp_path / "hashes.json")
    assert kept.fingerprint(path, limit=100) == first
    os.utime(path, (1_000_001, 1_000_001))
    assert kept.fingerprint(path, limit=100) != first


def test_a_damaged_hash_store_is_started_anew(tmp_path):
    (tmp_path / "hashes.json").write_text("[1, 2")
    (tmp_path / "scan.nii").write_bytes(b"x")
    assert HashStore(tmp_path / "hashes.json").fingerprint(tmp_path / "scan.nii", limit=10).length == 1
