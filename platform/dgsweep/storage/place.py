"""Paths of local folders and of object stores, from what a person wrote."""

import re
from pathlib import Path

from upath import UPath

from dgsweep.errors import Problem

AnyPath = Path | UPath
"""A local path, or one of an object store: `/`, `name`, `parent`, `exists`, `glob` and `open` work on both."""

STORES = ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss")
"""Schemes of stores in which one put replaces an object as a whole."""
_LOCAL = ("file", "local")
_URI = re.compile(r"^([a-zA-Z][a-zA-Z0-9+.-]+):/+(.*)$", re.DOTALL)
_USER = re.compile(r"^[^/@]*:[^/]*@")
_EXTRAS = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs"}


def is_uri(value: str) -> bool:
    """Whether a text is an address, `s3://...`, and not a path."""
    return _URI.match(value) is not None


def is_remote(path: AnyPath) -> bool:
    """Whether a path lies in an object store."""
    return not isinstance(path, Path)


def place(value: str | AnyPath) -> AnyPath:
    """Path of a text: a local one, or one of an object store for `s3://bucket/folder`.

    `pathlib.Path` writes an address as `s3:/bucket/folder`; that is understood too. What a store lists is never kept,
    since other machines write there.
    """
    if not isinstance(value, str | Path):
        return value
    found = _URI.match(str(value))
    if found is None:
        return Path(value)
    scheme, rest = found[1].lower(), found[2]
    return Path(f"/{rest}") if scheme in _LOCAL else UPath(f"{scheme}://{rest}", use_listings_cache=False)


def uri_problem(value: str, where: str) -> Problem | None:
    """Why an address cannot hold results; None when it can. What may be a password is not repeated."""
    found = _URI.match(value)
    if found is None:
        return None
    scheme, rest = found[1].lower(), found[2]
    if _USER.match(rest) or "?" in rest or "#" in rest:
        fix = "give credentials by the environment (AWS_ACCESS_KEY_ID, AWS_PROFILE ...), and the bare address here"
        return Problem(where=where, found=f"the {scheme} address holds credentials or options", fix=fix)
    if scheme in _LOCAL:
        return None
    if scheme not in STORES:
        fix = f"a folder, or an object store ({', '.join(STORES)}); a disk of another kind must be mounted"
        return Problem(where=where, found=f"{scheme}:// is no place for results", fix=fix)
    if not rest.split("/")[0]:
        return Problem(where=where, found=f"{value!r} names no bucket", fix=f"write {scheme}://bucket/folder")
    return _missing_library(scheme, where)


def _missing_library(scheme: str, where: str) -> Problem | None:
    import fsspec

    try:
        fsspec.get_filesystem_class(scheme)
    except ImportError as error:
        library = _EXTRAS.get(scheme, "adlfs")
        name = "'dgsweep[s3]'" if library == "s3fs" else library
        return Problem(where=where, found=f"{scheme}:// needs {library} ({error})", fix=f"pip install {name}")
    return None
