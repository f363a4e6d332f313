"""Whole files, on a disk and on an S3-compatible server."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dgsweep.storage import files
from dgsweep.storage.files import StorageError, create_bytes, names, read_bytes, remove_file, remove_tree, write_bytes
from dgsweep.storage.place import AnyPath, place


@pytest.fixture(params=["disk", "s3"])
def folder(request, tmp_path: Path) -> AnyPath:
    return tmp_path / "x" if request.param == "disk" else place(request.getfixturevalue("s3_folder"))


def test_a_file_is_replaced_listed_and_removed(folder):
    assert names(folder) == []
    for content in (b"old", b"new"):
        write_bytes(folder / "b", content)
    write_bytes(folder / "a", b"")
    assert read_bytes(folder / "b") == b"new"
    assert names(folder) == ["a", "b"]
    remove_file(folder / "a")
    remove_file(folder / "a")
    assert names(folder) == ["b"]
    assert not files.exists(folder / "a")
    assert files.exists(folder / "b")
    remove_tree(folder)
    assert names(folder) == []
    with pytest.raises(FileNotFoundError):
        read_bytes(folder / "b")


def test_of_several_that_create_one_file_at_a_time_one_does(folder):
    start = threading.Barrier(8)

    def create(number: int) -> bool:
        start.wait()
        return create_bytes(folder / "one", str(number).encode())

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(create, range(8)))
    assert made.count(True) == 1
    assert read_bytes(folder / "one") == str(made.index(True)).encode()


def test_a_put_whose_answer_was_lost_is_known_as_ones_own(s3_folder):
    path = place(s3_folder) / "one"
    assert create_bytes(path, b"mine")
    assert create_bytes(path, b"mine")
    assert not create_bytes(path, b"somebody else's")


def test_a_disk_without_hard_links_creates_a_file_once_too(tmp_path, monkeypatch):
    def refuse(self: Path, target: Path) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    assert create_bytes(tmp_path / "one", b"mine")
    assert not create_bytes(tmp_path / "one", b"other")
    assert [path.name for path in tmp_path.iterdir()] == ["one"]


def test_what_another_machine_writes_is_seen_at_once(s3_folder):
    folder = place(s3_folder)
    assert names(folder) == []
    other = type(folder.fs)(skip_instance_cache=True, use_listings_cache=False)
    other.pipe_file((folder / "new").path, b"1")
    assert names(folder) == ["new"]
    assert files.exists(folder / "new")


def test_a_bucket_that_is_not_there_is_told_by_its_address(s3_bucket):
    with pytest.raises(StorageError, match=r"s3://nowhere/x: cannot be written .* check the bucket"):
        write_bytes(place("s3://nowhere/x"), b"1")


def test_a_store_that_does_not_answer_is_an_error_of_ours(s3_bucket, monkeypatch):
    lost = place("s3://sweeps/x")
    closed = type(lost.fs)(
        endpoint_url="http://127.0.0.1:1", skip_instance_cache=True, config_kwargs={"retries": {"max_attempts": 0}}
    )
    closed.retries = 1
    monkeypatch.setattr(type(lost), "fs", closed)
    for use in (read_bytes, lambda path: write_bytes(path, b"1"), files.exists, names):
        with pytest.raises(StorageError, match=r"127\.0\.0\.1:1"):
            use(lost)
