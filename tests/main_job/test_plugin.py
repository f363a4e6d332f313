"""A stranger's package: pip installs it into a fresh environment, and a sweep runs it beside the built-in methods."""

import json
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def fresh_python(tmp_path_factory) -> Path:
    """An environment of its own that finds our dependencies, and nothing of the plugin."""
    folder = tmp_path_factory.mktemp("fresh")
    venv.create(folder, with_pip=False, symlinks=True)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
    (site / "ours.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    return folder / "bin" / "python"


def on(python: Path, *arguments: str, folder: Path) -> subprocess.CompletedProcess:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [str(python), "-m", *arguments], capture_output=True, text=True, check=False, cwd=folder, env=environment
    )


def install(python: Path, package: Path) -> None:
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps"]
    done = subprocess.run([*command, "--no-build-isolation", str(package)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def names(python: Path, folder: Path) -> set[str]:
    listed = on(python, "dgsweep.cli", "methods", "list", "--json", folder=folder)
    return {item["name"] for item in json.loads(listed.stdout)}


def test_the_example_package_is_installed_listed_checked_and_swept(fresh_python, desk) -> None:
    assert "polarity" not in names(fresh_python, desk.folder)
    install(fresh_python, ROOT / "examples" / "plugin")
    assert {"polarity", "erm"} <= names(fresh_python, desk.folder)
    checked = on(fresh_python, "dgsweep.cli", "methods", "check", "polarity", folder=desk.folder)
    assert "0 failed" in checked.stdout, checked.stdout + checked.stderr
    desk.write(methods=["erm", "polarity"])
    swept = on(fresh_python, "dgsweep.cli", "run", str(desk.file), "--executor", "inline", "--no-report",
               folder=desk.folder)  # fmt: skip
    assert "2 trials run, 0 reused, 0 failed" in swept.stdout, swept.stdout + swept.stderr
    assert desk.scores().groupby("method")["volume_ml"].sum().nunique() == 2
