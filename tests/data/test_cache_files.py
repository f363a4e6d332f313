"""`dgsweep data cache`: what is there, what is damaged, and nothing else is ever removed."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from dgsweep.cli.app import app
from dgsweep.data.cache import PreprocessCache
from dgsweep.data.cache_files import entries, remove
from dgsweep.errors import InputError
from dgsweep.plan.trial import Preprocessing

GRID = Preprocessing(spacing_mm=(1.0, 1.0, 1.0), patch=(8, 8, 8), labels={"label_1": 1})


@pytest.fixture
def cache(folder, tmp_path):
    """A cache of two scans with labels."""
    for name in ("a", "b"):
        folder.case(name)
    root = tmp_path / "cache"
    for case in folder.read(target_labels=[1]).cases:
        PreprocessCache(root).training_case(case, GRID, "A/T1")
    return root


def call(*arguments, code=0):
    done = CliRunner().invoke(app, ["data", "cache", *map(str, arguments)])
    assert done.exit_code == code, done.output
    return done


def test_entries_are_listed_with_kind_shape_and_size(cache):
    listed = json.loads(call("ls", cache, "--json").stdout)
    assert sorted(entry["kind"] for entry in listed) == ["images", "images", "labels", "labels"]
    image = next(entry for entry in listed if entry["kind"] == "images")
    assert image["shape"] == [8, 9, 10]
    assert image["size_bytes"] > 8 * 9 * 10 * 4


def test_a_cut_file_is_found_removed_and_built_again(cache, folder):
    assert "4 entries, 0 damaged" in call("verify", cache).output
    entry = next(one for one in entries(cache) if one.kind == "images")
    (entry.folder / "image.npy").write_bytes(b"cut")
    assert "image.npy holds 3 bytes" in call("verify", cache, code=1).output
    assert "1 entries removed" in call("rm", cache, "--damaged").output
    assert len(list(entries(cache))) == 3
    for case in folder.read(target_labels=[1]).cases:
        PreprocessCache(cache).image(case, GRID, "A/T1")
    assert "4 entries, 0 damaged" in call("verify", cache).output


def test_nan_in_an_entry_is_damage(cache):
    entry = next(one for one in entries(cache) if one.kind == "images")
    array = np.load(entry.folder / "image.npy")
    array[0, 0, 0] = np.nan
    np.save(entry.folder / "image.npy", array)
    assert "NaN" in call("verify", cache, code=1).output


def test_only_old_entries_are_removed_when_asked(cache):
    assert remove(cache, older_than_days=1) == (0, 0)
    count, freed = remove(cache)
    assert count == 4
    assert freed > 0
    assert not list(entries(cache))


def test_a_folder_that_is_no_cache_is_not_touched(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "thesis.docx").write_text("years")
    with pytest.raises(InputError, match="no preprocess cache"):
        remove(tmp_path)
    assert (tmp_path / "thesis.docx").exists()
