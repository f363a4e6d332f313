"""The cache of several machines: on a disk without locks, and in a store with a copy on each node."""

import errno
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor

import filelock
import numpy as np
import pytest

from dgsweep.data.cache import PreprocessCache
from dgsweep.errors import CaseError, ResourceError
from dgsweep.plan.trial import Preprocessing
from dgsweep.storage.files import names, write_bytes
from dgsweep.storage.locks import boot_id
from dgsweep.storage.place import place
from dgsweep.storage.scratch import scratch_folder

GRID = Preprocessing(spacing_mm=(1.0, 1.0, 2.0), patch=(4, 4, 4), labels={"head": 1, "tail": 2})


@pytest.fixture
def case(folder):
    folder.case("c1")
    return folder.read().cases[0]


@pytest.fixture
def node(monkeypatch, tmp_path):
    """Make this process one of a machine with this name, by its scratch folder."""
    return lambda name: monkeypatch.setenv("DGSWEEP_SCRATCH", str(tmp_path / name))


def test_what_one_node_built_another_takes_from_the_store_without_the_scan(case, node, s3_folder):
    node("one")
    built = PreprocessCache(place(s3_folder)).training_case(case, GRID, "A/T1")
    case.image.unlink()
    case.label.unlink()
    node("two")
    taken = PreprocessCache(place(s3_folder)).training_case(case, GRID, "A/T1")
    np.testing.assert_array_equal(taken.image, built.image)
    np.testing.assert_array_equal(taken.label, built.label)
    assert sorted(taken.foreground) == sorted(built.foreground) == [1, 2]
    assert (taken.native, taken.spacing_mm) == (built.native, built.spacing_mm)
    assert isinstance(taken.image, np.memmap)
    node("three")
    with pytest.raises(CaseError, match="is gone"):
        PreprocessCache(place(f"{s3_folder}-other")).training_case(case, GRID, "A/T1")


def test_a_damaged_object_of_the_store_is_built_again(case, node, s3_folder):
    node("one")
    built = PreprocessCache(place(s3_folder)).image(case, GRID, "A/T1")
    (path,) = place(s3_folder).rglob("*.npz")
    write_bytes(path, b"PK\x03\x04 half of it")
    node("two")
    again = PreprocessCache(place(s3_folder)).image(case, GRID, "A/T1")
    np.testing.assert_array_equal(again.image, built.image)
    case.image.unlink()
    node("three")
    np.testing.assert_array_equal(PreprocessCache(place(s3_folder)).image(case, GRID, "A/T1").image, built.image)


def test_without_a_folder_the_cache_lies_in_the_scratch_folder_of_the_node(case, node, tmp_path):
    node("one")
    PreprocessCache(None).image(case, GRID, "A/T1")
    assert names(tmp_path / "one" / "cache" / "images")
    assert not (tmp_path / "two").exists()


def test_a_scratch_folder_that_somebody_else_laid_out_is_refused(monkeypatch, tmp_path):
    monkeypatch.delenv("DGSWEEP_SCRATCH", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    own = scratch_folder()
    assert own.parent == tmp_path
    assert own.stat().st_mode & 0o077 == 0
    shutil.rmtree(own)
    (tmp_path / "trap").mkdir()
    own.symlink_to(tmp_path / "trap")
    with pytest.raises(ResourceError, match="DGSWEEP_SCRATCH"):
        scratch_folder()


def test_builders_on_a_disk_without_locks_leave_one_whole_entry(case, monkeypatch, tmp_path):
    def no_locks(self: filelock.FileLock) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    expected = PreprocessCache(tmp_path / "alone").training_case(case, GRID, "A/T1")
    monkeypatch.setattr(filelock.FileLock, "_acquire", no_locks)
    start = threading.Barrier(6)

    def build(_: int) -> object:
        start.wait()
        return PreprocessCache(tmp_path / "cache").training_case(case, GRID, "A/T1")

    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(build, range(6)))
    for cached in found:
        np.testing.assert_array_equal(cached.image, expected.image)
        np.testing.assert_array_equal(cached.label, expected.label)
    assert len(list(tmp_path.glob("cache/images/*/*"))) == 1
    assert not list((tmp_path / "cache" / "partial").iterdir())


def test_half_an_entry_that_another_machine_still_writes_is_left_alone(case, tmp_path):
    cache = PreprocessCache(tmp_path)
    cache.image(case, GRID, "A/T1")
    (entry,) = tmp_path.glob("images/*/*")
    mine, other = (tmp_path / "partial" / f"{entry.name}.{boot}.00" for boot in (boot_id()[:8], "another0"))
    for growing in (mine, other):
        growing.mkdir(parents=True)
    shutil.rmtree(entry)
    cache.image(case, GRID, "A/T1")
    assert other.is_dir()
    assert not mine.exists()
