"""What an address of a person becomes, and what is refused."""

import pickle
from pathlib import Path

import pytest

from dgsweep.config.anchor import anchor_output
from dgsweep.errors import ConfigError
from dgsweep.storage.place import is_remote, place


@pytest.mark.parametrize("text", ["runs/x", "/data/x", "~/x", "a:b/c", "C:/x", "x/s3:/y"])
def test_a_path_of_this_machine_stays_what_it_is(text):
    assert place(text) == Path(text)
    assert type(place(text)) is type(Path(text))


def test_a_file_address_is_a_path_of_this_machine():
    assert place("file:///data/x") == Path("/data/x")


@pytest.mark.parametrize("written", ["s3://sweeps/runs/x", Path("s3://sweeps/runs/x"), "S3://sweeps/runs/x"])
def test_an_address_of_a_store_survives_being_taken_for_a_path_and_being_sent_to_a_worker(written):
    found = pickle.loads(pickle.dumps(place(written)))
    assert str(found) == "s3://sweeps/runs/x"
    assert is_remote(found)
    assert str(found / "trials" / "a") == "s3://sweeps/runs/x/trials/a"
    assert place(found) is found


def anchored(value: str, *, job: bool = False) -> str:
    return str(anchor_output(value, inside_ray_job=job, home="/home", cwd=Path("/here")))


def test_an_address_is_anchored_nowhere_and_allowed_inside_a_job():
    assert anchored("s3://sweeps/x", job=True) == "s3://sweeps/x"
    assert anchored("x") == "/home/x"


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("s3://me:hunter2@sweeps/x", "holds credentials"),
        ("s3://sweeps/x?secret=hunter2", "holds credentials"),
        ("s3:///", "names no bucket"),
        ("ftp://host/x", "ftp:// is no place for results"),
        ("https://host/x", "https:// is no place for results"),
    ],
)
def test_an_address_with_a_password_or_of_no_store_is_refused_and_the_password_is_not_repeated(value, told):
    with pytest.raises(ConfigError, match=told) as refused:
        anchored(value)
    assert "hunter2" not in str(refused.value)


def test_a_store_whose_library_is_missing_is_told_with_the_command_that_installs_it(monkeypatch):
    import fsspec

    def missing(scheme: str) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec, "get_filesystem_class", missing)
    with pytest.raises(ConfigError, match=r"pip install 'dgsweep\[s3\]'"):
        anchored("s3://sweeps/x")
