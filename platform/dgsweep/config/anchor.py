"""Where relative paths of a sweep file start: an explicit home, the folder of the call, never a temporary copy."""

import re
from collections.abc import Mapping
from pathlib import Path

from dgsweep.errors import ConfigError, Problem
from dgsweep.storage.place import AnyPath, is_uri, place, uri_problem

HOME_VARIABLE = "DGSWEEP_HOME"
_JOB_VARIABLES = ("RAY_JOB_CONFIG_JSON_ENV_VAR", "RAY_JOB_ID")
_SQLITE = "sqlite:///"
_SCHEME = re.compile(r"^[a-zA-Z][a-zA-Z0-9+.-]+:")


def inside_ray_job(environ: Mapping[str, str], cwd: Path) -> bool:
    """Whether this process runs inside a submitted Ray job, whose working folder is a temporary copy."""
    return any(environ.get(name) for name in _JOB_VARIABLES) or any("_ray_pkg_" in part for part in cwd.parts)


def anchor_output(value: str, *, inside_ray_job: bool, home: str | None, cwd: Path, field: str = "output") -> AnyPath:
    """Absolute path of an output.

    An absolute path and an address of an object store stay; a relative path starts at `home` (DGSWEEP_HOME) when
    set, else at `cwd`.

    Raises:
        ConfigError: for a relative path inside a Ray job without `home`, or an address that cannot hold results.
    """
    if is_uri(value):
        return _store(value, field)
    path = Path(value).expanduser()
    if path.is_absolute():
        return path
    if home:
        return Path(home).expanduser().absolute() / path
    if inside_ray_job:
        problem = Problem(
            where=field,
            found=f"the relative path {value!r} would land in the temporary copy that Ray made of the working folder",
            fix=f"give an absolute path, or set {HOME_VARIABLE} to the folder that relative paths start from",
        )
        raise ConfigError("a result would be lost", [problem])
    return cwd.absolute() / path


def _store(value: str, field: str) -> AnyPath:
    problem = uri_problem(value, field)
    if problem is not None:
        raise ConfigError("results cannot be kept there", [problem])
    return place(value)


def anchor_tracking(uri: str, *, inside_ray_job: bool, home: str | None, cwd: Path) -> str:
    """Tracking address with an absolute path: relative `sqlite:///` files and folders are anchored as outputs are.

    Servers and other schemes stay untouched.

    Raises:
        ConfigError: for a relative path inside a Ray job without `home`.
    """
    if uri.startswith(_SQLITE):
        file = uri.removeprefix(_SQLITE)
        if file in {"", ":memory:"}:
            raise ConfigError("tracking cannot be used", [_no_file(uri)])
        anchored = anchor_output(file, inside_ray_job=inside_ray_job, home=home, cwd=cwd, field="tracking.uri")
        return f"{_SQLITE}{anchored}"
    if _SCHEME.match(uri):
        return uri
    return str(anchor_output(uri, inside_ray_job=inside_ray_job, home=home, cwd=cwd, field="tracking.uri"))


def _no_file(uri: str) -> Problem:
    return Problem(where="tracking.uri", found=f"{uri!r} names no file", fix="write sqlite:///runs/mlflow.db")


def find_manifest(value: str, sweep_file: Path, cwd: Path, home: str | None = None) -> Path:
    """Absolute path of the manifest: the first that exists of `cwd`, the sweep file's folder and `home`.

    Raises:
        ConfigError: when it exists in none of them, naming every place that was looked at.
    """
    path = Path(value).expanduser()
    folders = [cwd, sweep_file.absolute().parent, *([Path(home).expanduser()] if home else [])]
    places = [path] if path.is_absolute() else [folder.absolute() / path for folder in folders]
    for candidate in places:
        if candidate.is_file():
            return candidate
    looked = ", ".join(dict.fromkeys(map(str, places)))
    problem = Problem(where="data.manifest", found=f"no file {value!r}; looked at {looked}", fix="check the path")
    raise ConfigError(f"{sweep_file}: the manifest is not there", [problem])
