"""Full disks, and the small sweep of the fault tests with the table of its undisturbed run."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest

for folder in (Path(__file__).parent, Path(__file__).parents[1] / "execution"):  # tests are no package
    sys.path.insert(0, str(folder))

from fault_sweep import FaultSweep, make_phantom  # noqa: E402


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Mounts disks of so many KiB, which are really full when they are."""
    mounted: list[Path] = []

    def mount(kib: int) -> Path:
        folder = tmp_path / f"disk-{len(mounted)}"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", str(folder)]
        if os.geteuid() or subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("mounting a small disk needs root")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture(scope="session")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_phantom(tmp_path_factory.mktemp("faults") / "phantom")


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, manifest: Path) -> pd.DataFrame:
    """What the sweep of two trials gives where nothing goes wrong."""
    sweep = FaultSweep(folder=tmp_path_factory.mktemp("undisturbed"), manifest=manifest, pause_s=0.0)
    assert sweep.run("--executor", "inline") == 0, sweep.log()
    return sweep.table()
