"""The wheel of this dgsweep, for nodes that have another one or none."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import dgsweep
from dgsweep.errors import InputError, Problem

BUILD_TIMEOUT_S = 300.0
_PROJECT = "pyproject.toml"


def runtime_packages(wheel: str, folder: Path) -> dict[str, Any]:
    """Give the part of a Ray runtime environment that installs dgsweep on the nodes.

    Args:
        wheel: `none`, `auto` (built from the checkout that runs here), or the path of a wheel.
        folder: Working directory of the job; the wheel is put into it.

    Raises:
        InputError: There is no wheel and none can be built.
    """
    if wheel == "none":
        return {}
    path = _built(folder) if wheel == "auto" else _copied(Path(wheel), folder)
    # Without dependencies, on top of the node's packages: as py_modules Ray would fetch torch anew for every job.
    package = f"${{RAY_RUNTIME_ENV_CREATE_WORKING_DIR}}/{path.name}"
    return {"pip": {"packages": [package], "pip_install_options": ["--no-deps", "--no-index"]}}


def _copied(wheel: Path, folder: Path) -> Path:
    if not wheel.is_file() or wheel.suffix != ".whl":
        raise InputError("dgsweep cannot be sent along:", [_no_wheel(str(wheel), "is no wheel")])
    if not re.match(rf"dgsweep-{re.escape(dgsweep.__version__)}-", wheel.name):
        found = f"is not dgsweep {dgsweep.__version__}, which runs here"
        raise InputError("dgsweep cannot be sent along:", [_no_wheel(str(wheel), found)])
    target = folder / wheel.name
    target.write_bytes(wheel.read_bytes())
    return target


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
    return Problem(
        where=where, found=found, fix="make one with `make wheel` and give its path: --wheel dist/dgsweep-....whl"
    )
