"""This dgsweep, for nodes that have another one or none: its wheel, unpacked into the folder that a job is run from."""

import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import dgsweep
from dgsweep.errors import InputError, Problem

BUILD_TIMEOUT_S = 300.0
_PROJECT = "pyproject.toml"


def put_wheel(wheel: str, folder: Path) -> None:
    """Unpack a wheel of dgsweep into the working folder of a job, which stands first on the path of its processes.

    Ray's own ways cost gigabytes a job and node: `pip` copies the virtual environment that Ray runs in, `py_modules`
    installs every dependency anew (both seen on Ray 2.60). Dependencies are the node's here.

    Args:
        wheel: `none`, `auto` (built from the checkout that runs here), or the path of a wheel.
        folder: Working folder of the job.

    Raises:
        InputError: There is no wheel and none can be built.
    """
    if wheel == "none":
        return
    with tempfile.TemporaryDirectory(prefix="dgsweep-wheel-") as scratch:
        path = _built(Path(scratch)) if wheel == "auto" else _checked(Path(wheel))
        with zipfile.ZipFile(path) as archive:
            archive.extractall(folder)


def _checked(wheel: Path) -> Path:
    if not wheel.is_file() or not zipfile.is_zipfile(wheel):
        raise InputError("dgsweep cannot be sent along:", [_no_wheel(str(wheel), "is no wheel")])
    if not re.match(rf"dgsweep-{re.escape(dgsweep.__version__)}-.*\.whl$", wheel.name):
        found = f"is not dgsweep {dgsweep.__version__}, which runs here"
        raise InputError("dgsweep cannot be sent along:", [_no_wheel(str(wheel), found)])
    return wheel


def _built(folder: Path) -> Path:
    root = Path(dgsweep.__file__).parents[2]
    if not (root / _PROJECT).is_file():
        raise InputError(
            "dgsweep cannot be sent along:", [_no_wheel("--wheel auto", "dgsweep runs from no checkout here")]
        )
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    try:
        subprocess.run(  # noqa: S603 - fixed program and arguments
            [*command, "--wheel-dir", str(folder), str(root)],
            capture_output=True, text=True, check=True, timeout=BUILD_TIMEOUT_S,
        )  # fmt: skip
    except subprocess.CalledProcessError as failure:
        line = next((line for line in reversed(failure.stderr.splitlines()) if line.strip()), "pip wheel failed")
        raise InputError("dgsweep cannot be sent along:", [_no_wheel("--wheel auto", line.strip())]) from None
    return next(folder.glob("dgsweep-*.whl"))


def _no_wheel(where: str, found: str) -> Problem:
    fix = "make one with `make wheel` and give its path: --wheel dist/dgsweep-<version>-py3-none-any.whl"
    return Problem(where=where, found=found, fix=fix)
