"""Scans and labels that are damaged or changed after the plan was made, while trials run."""

import shutil
import subprocess
import time
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
from fault_sweep import FaultSweep

from dgsweep.config.schema import DataConfig
from dgsweep.data.manifest import read_manifest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def own_manifest(tmp_path: Path, manifest: Path) -> Path:
    """Scans that a test may damage."""
    shutil.copytree(manifest.parent, tmp_path / "phantom")
    return tmp_path / "phantom" / manifest.name


def target_label(sweep: FaultSweep) -> Path:
    """The label of a case that the sweep scores as a target."""
    wanted = sweep.ledger.read_plan().trials[0].split.target
    cases = read_manifest(sweep.manifest, DataConfig(manifest=str(sweep.manifest))).cases
    return next(case.label for case in cases if case.info.case_id in wanted and case.label is not None)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def change(path: Path) -> None:
    """Another valid label of the same grid."""
    image = nibabel.load(path)
    changed = np.flip(np.asarray(image.dataobj), 0).copy()
    nibabel.save(nibabel.Nifti1Image(changed, image.affine, image.header), path)


def started(sweep: FaultSweep) -> subprocess.Popen[str]:
    driver = sweep.start("--executor", "inline")
    while len(sweep.logged_steps()) < 5:
        assert driver.poll() is None, sweep.log()
        time.sleep(0.1)
    return driver


@pytest.mark.parametrize(
    ("damage", "told"), [(cut, "it is cut or damaged"), (change, "was changed since the plan was made")]
)
def test_a_target_that_changes_while_trials_run_is_named_and_only_scored_again(
    tmp_path: Path, own_manifest: Path, undisturbed: pd.DataFrame, damage, told
) -> None:
    sweep = FaultSweep(folder=tmp_path / "s", manifest=own_manifest)
    driver = started(sweep)
    label = target_label(sweep)
    kept = label.read_bytes()
    damage(label)
    assert driver.wait(300) == 1
    causes = [sweep.ledger.failure(spec.trial_id)["cause"] for spec in sweep.ledger.read_plan().trials]
    assert all(label.name in cause and told in cause for cause in causes), causes
    assert "Traceback" not in sweep.log()
    label.write_bytes(kept)
    steps = len(sweep.logged_steps())
    assert sweep.run("--executor", "inline") == 0, sweep.log()
    assert len(sweep.logged_steps()) == steps, "it trained again"
    pd.testing.assert_frame_equal(sweep.table(), undisturbed, check_exact=True)
