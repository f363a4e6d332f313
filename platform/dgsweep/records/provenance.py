"""What a result rests on beside its spec: versions, processor, times. Never the name of a machine or of a person."""

import os
import platform
import shutil
import subprocess
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import dgsweep

PACKAGES = ("torch", "monai", "ray", "mlflow", "numpy", "scipy", "pandas", "nibabel", "SimpleITK", "optuna")
"""Packages whose version can change a number; read from metadata, so that none is imported."""


def utc_now() -> str:
    """Now in UTC, ISO 8601 with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def collect(*, started_at: datetime | None = None) -> dict[str, Any]:
    """Versions, source commit, processor and times of the calling process.

    Args:
        started_at: When the work began (with a time zone); None takes now.

    Returns:
        JSON-ready mapping; `wall_s` are the seconds since `started_at`.
    """
    ended_at = datetime.now(UTC)
    begin = started_at or ended_at
    return {
        "dgsweep": dgsweep.__version__,
        "python": platform.python_version(),
        "packages": _versions(),
        "commit": _commit(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpu": cpu_model(),
        "cpus": os.cpu_count(),
        "threads": os.environ.get("OMP_NUM_THREADS", ""),
        "started": begin.astimezone(UTC).isoformat(timespec="milliseconds"),
        "ended": ended_at.isoformat(timespec="milliseconds"),
        "wall_s": (ended_at - begin).total_seconds(),
    }


@cache
def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = ""
    return found


@cache
def _commit() -> str:
    """Commit of the checkout that dgsweep runs from, with `+` when it was changed; '' for an installed wheel."""
    folder = Path(dgsweep.__file__).parent
    if not _git(folder, "ls-files", "__init__.py"):
        return ""
    commit = _git(folder, "rev-parse", "HEAD")
    return f"{commit}+" if commit and _git(folder, "status", "--porcelain", "--untracked-files=no") else commit


def _git(folder: Path, *arguments: str) -> str:
    git = shutil.which("git")
    if git is None:
        return ""
    try:
        run = subprocess.run(  # noqa: S603 - fixed program and arguments
            [git, "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return run.stdout.strip() if run.returncode == 0 else ""


def cpu_model() -> str:
    """Name of this machine's processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor()
    )
