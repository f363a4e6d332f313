"""Real public scans: every folder of shared/realdata reads, checks, and comes back to its own grid."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from dgsweep.config.schema import DataConfig
from dgsweep.data.cache import PreprocessCache
from dgsweep.data.check import check_manifest
from dgsweep.data.geometry import to_native
from dgsweep.data.manifest import read_manifest
from dgsweep.plan.trial import Preprocessing

REAL = Path(__file__).parents[3] / "shared" / "realdata"
MANIFESTS = sorted(REAL.glob("*/manifest.csv"))
pytestmark = pytest.mark.skipif(not MANIFESTS, reason="the folder shared/realdata beside the repository is absent")


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.parent.name)
def test_a_real_data_set_has_no_error(path):
    assert not check_manifest(path, DataConfig(manifest=str(path))).errors


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.parent.name)
def test_a_real_label_survives_the_way_to_the_working_grid_and_back(path, tmp_path):
    manifest = read_manifest(path, DataConfig(manifest=str(path)))
    case = manifest.cases[0]
    own = case.info.spacing_mm
    finer = (own[0] * 0.8, own[1] * 0.8, own[2])
    grid = Preprocessing(spacing_mm=finer, patch=(4, 4, 4), labels=manifest.labels)
    cached = PreprocessCache(tmp_path).training_case(case, grid, "d")
    one_hot = np.stack([cached.label == k for k in range(len(manifest.labels) + 1)]).astype(np.float32)
    back = to_native(one_hot, cached.native)
    raw = np.asarray(nib.load(case.label).dataobj)
    expected = np.zeros(raw.shape, np.uint8)
    for index, value in enumerate(manifest.labels.values(), start=1):
        expected[raw == value] = index
    assert back.shape == expected.shape
    assert _dice(back, expected) > 0.9
    assert _dice(np.roll(back, back.shape[0] // 4, axis=0), expected) < 0.8


def _dice(first, second):
    return 2 * ((first == second) & (second > 0)).sum() / ((first > 0).sum() + (second > 0).sum())
