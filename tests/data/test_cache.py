"""The cache is keyed by content, complete or absent, shared by processes, and image() never sees a label."""

import json
import multiprocessing
import shutil
import stat
from dataclasses import replace

import numpy as np
import pytest

from dgsweep.data.cache import PreprocessCache, forecast_bytes, require_space, zscore
from dgsweep.data.geometry import read_volume
from dgsweep.errors import CaseError, ResourceError
from dgsweep.plan.trial import Preprocessing
from dgsweep.storage.locks import boot_id

GRID = Preprocessing(spacing_mm=(1.0, 1.0, 2.0), patch=(4, 4, 4), labels={"head": 1, "tail": 2})


def _entries(root, kind):
    return {path.parent.name: path.stat().st_mtime_ns for path in root.glob(f"{kind}/*/*/meta.json")}


def test_an_entry_holds_the_normalised_image_its_classes_and_where_they_are(folder, tmp_path):
    folder.case("c1")
    case = folder.read().cases[0]
    cached = PreprocessCache(tmp_path / "cache").training_case(case, GRID, "A/T1")
    assert (cached.case_id, cached.domain) == ("c1", "A/T1")
    assert cached.image.shape == cached.label.shape == (8, 9, 5)
    assert (cached.image.dtype, cached.label.dtype) == (np.float32, np.uint8)
    assert cached.spacing_mm == (1.0, 1.0, 2.0)
    assert sorted(cached.foreground) == [1, 2]
    for value, voxels in cached.foreground.items():
        np.testing.assert_array_equal(voxels, np.flatnonzero(cached.label == value))
    with pytest.raises(ValueError, match="read-only"):
        cached.image[0, 0, 0] = 1.0


def test_normalisation_rests_on_the_scan_alone():
    array = np.array([1.0, 3.0, 5.0, 7.0], np.float32).reshape(2, 2, 1)
    # mean 4, variance (9 + 1 + 1 + 9) / 4 = 5
    np.testing.assert_allclose(zscore(array).ravel(), np.array([-3, -1, 1, 3]) / np.sqrt(5), rtol=1e-6)
    np.testing.assert_array_equal(zscore(np.full((2, 2, 2), 7.0, np.float32)), 0.0)


def test_the_grid_comes_back_from_disk_as_it_was_read(folder, tmp_path):
    folder.case("c1", affine=np.array([[0, 0, 2.0, 5], [-1.0, 0.1, 0, 0], [0, 1.5, 0, 0], [0, 0, 0, 1]]))
    case = folder.read(target_labels=(1,)).cases[0]
    cached = PreprocessCache(tmp_path / "cache").image(case, GRID, "A/T1")
    assert cached.native == read_volume(case.image).native


def test_classes_follow_the_order_of_the_structures_and_the_values_of_the_domain(folder, tmp_path):
    folder.case("c1")
    case, cache = folder.read().cases[0], PreprocessCache(tmp_path / "cache")
    grid = replace(GRID, spacing_mm=(1.0, 1.0, 1.0))
    plain = cache.training_case(case, grid, "d")
    turned = cache.training_case(case, replace(grid, labels={"tail": 2, "head": 1}), "d")
    np.testing.assert_array_equal(turned.label == 1, plain.label == 2)
    swapped = cache.training_case(replace(case, label_values={"head": 2, "tail": 1}), grid, "d")
    np.testing.assert_array_equal(swapped.label, turned.label)
    assert (plain.label == 1).sum() == 3 * 4 * 5


def test_image_never_opens_the_label_file(folder, tmp_path):
    folder.case("c1")
    case, cache = folder.read().cases[0], PreprocessCache(tmp_path / "cache")
    case.label.unlink()
    cached = cache.image(case, GRID, "A/T1")
    assert cached.label is None
    assert cached.foreground == {}
    with pytest.raises(CaseError, match="is gone"):
        cache.training_case(case, GRID, "A/T1")


def test_an_unlabelled_case_is_cached_without_a_label(folder, tmp_path):
    folder.case("c1", label=False)
    cached = PreprocessCache(tmp_path / "cache").training_case(folder.read().cases[0], GRID, "A/T1")
    assert cached.label is None


def test_a_renamed_file_hits(folder, tmp_path):
    folder.case("c1")
    cache = PreprocessCache(tmp_path / "cache")
    cache.training_case(folder.read().cases[0], GRID, "A/T1")
    before = {kind: _entries(tmp_path / "cache", kind) for kind in ("images", "labels")}
    for column, name in (("image", "moved.nii.gz"), ("label", "moved_label.nii.gz")):
        (folder.root / folder.rows[0][column]).rename(folder.root / name)
        folder.rows[0][column] = name
    folder.rows[0]["case_id"] = "renamed"
    cached = cache.training_case(folder.read().cases[0], GRID, "A/T1")
    assert cached.case_id == "renamed"
    assert {kind: _entries(tmp_path / "cache", kind) for kind in ("images", "labels")} == before


def test_a_changed_label_misses_for_training_and_hits_for_the_image(folder, tmp_path):
    folder.case("c1")
    cache, root = PreprocessCache(tmp_path / "cache"), tmp_path / "cache"
    first = cache.training_case(folder.read().cases[0], GRID, "A/T1")
    images = _entries(root, "images")
    folder.nifti("c1_label.nii.gz", np.ones((8, 9, 10), np.uint8))
    second = cache.training_case(folder.read().cases[0], GRID, "A/T1")
    assert (second.label == 1).all()
    assert not (first.label == 1).all()
    assert _entries(root, "images") == images
    assert len(_entries(root, "labels")) == 2


@pytest.mark.parametrize("change", [{"spacing_mm": (1.0, 1.0, 1.0)}, {"version": 2}])
def test_another_recipe_is_another_entry_and_another_patch_is_not(folder, tmp_path, change):
    folder.case("c1")
    case, cache = folder.read().cases[0], PreprocessCache(tmp_path / "cache")
    cache.image(case, GRID, "d")
    cache.image(case, replace(GRID, patch=(8, 8, 8)), "d")
    assert len(_entries(tmp_path / "cache", "images")) == 1
    cache.image(case, replace(GRID, **change), "d")
    assert len(_entries(tmp_path / "cache", "images")) == 2


def test_a_file_changed_behind_the_plan_is_not_filed_under_the_old_content(folder, tmp_path):
    folder.case("c1")
    case, cache = folder.read().cases[0], PreprocessCache(tmp_path / "cache")
    folder.nifti("c1.nii.gz", np.zeros((8, 9, 10), np.float32))
    with pytest.raises(CaseError, match="changed since the plan"):
        cache.image(case, GRID, "d")
    assert _entries(tmp_path / "cache", "images") == {}


def test_a_cut_entry_is_built_again(folder, tmp_path):
    folder.case("c1")
    case, cache = folder.read().cases[0], PreprocessCache(tmp_path / "cache")
    expected = np.array(cache.image(case, GRID, "d").image)
    (file,) = (tmp_path / "cache").rglob("image.npy")
    file.write_bytes(file.read_bytes()[:-8])
    np.testing.assert_array_equal(cache.image(case, GRID, "d").image, expected)


def test_what_a_killed_builder_left_is_removed_by_the_next(folder, tmp_path):
    folder.case("c1")
    case, cache = folder.read().cases[0], PreprocessCache(tmp_path / "cache")
    cache.image(case, GRID, "d")
    (key,) = _entries(tmp_path / "cache", "images")
    stale = tmp_path / "cache" / "partial" / f"{key}.{boot_id()[:8]}.dead"
    stale.mkdir(parents=True)
    (stale / "image.npy").write_bytes(b"half")
    shutil.rmtree(tmp_path / "cache" / "images")
    cache.image(case, GRID, "d")
    assert list((tmp_path / "cache" / "partial").iterdir()) == []


def _read_all(root, cases, gate, answers):
    gate.wait()
    cache = PreprocessCache(root)
    answers.put([float(np.abs(cache.training_case(case, GRID, "d").image).sum()) for case in cases])


def test_four_processes_share_one_cache(folder, tmp_path):
    for number in range(3):
        folder.case(f"c{number}", shape=(40, 40, 40))
    cases, root = folder.read().cases, tmp_path / "cache"
    context = multiprocessing.get_context("fork")
    gate, answers = context.Barrier(4), context.Queue()
    workers = [context.Process(target=_read_all, args=(root, cases, gate, answers)) for _ in range(4)]
    for worker in workers:
        worker.start()
    sums = [answers.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join(timeout=60)
    assert [worker.exitcode for worker in workers] == [0, 0, 0, 0]
    assert sums == [sums[0]] * 4
    assert len(set(sums[0])) == 3
    assert len(_entries(root, "images")) == len(_entries(root, "labels")) == 3
    assert list((root / "partial").iterdir()) == []


def test_the_forecast_counts_the_voxels_of_the_working_grid(folder):
    folder.case("c1", shape=(8, 9, 10))
    folder.case("c2", shape=(8, 9, 20))
    # 8*9*5 + 8*9*10 voxels: image 4 bytes, label 1, foreground about 1
    assert forecast_bytes(folder.read().cases, GRID) == (360 + 720) * 6


def test_a_disk_that_is_too_small_is_told_before_anything_is_written(tmp_path):
    free = shutil.disk_usage(tmp_path).free
    require_space(tmp_path / "a" / "b", 1000)
    with pytest.raises(ResourceError, match="GiB free"):
        require_space(tmp_path / "a" / "b", free * 2)
    assert not (tmp_path / "a").exists()


def test_a_cache_that_cannot_be_written_says_what_to_do(folder, tmp_path):
    folder.case("c1")
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(ResourceError, match=r"data\.cache"):
        PreprocessCache(tmp_path / "cache").image(folder.read().cases[0], GRID, "d")


def test_entries_hold_no_path_and_no_name(folder, tmp_path):
    folder.case("jane-doe", patient="JANE")
    PreprocessCache(tmp_path / "cache").training_case(folder.read().cases[0], GRID, "d")
    for path in (tmp_path / "cache").rglob("meta.json"):
        assert "jane" not in json.dumps(json.loads(path.read_text())).lower()
    assert not stat.S_IMODE((tmp_path / "cache").stat().st_mode) & stat.S_IWOTH
