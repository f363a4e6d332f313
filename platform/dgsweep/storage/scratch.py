"""A folder of this machine for what each node makes again: unpacked scans, fingerprints, Ray's own state."""

import os
import stat
import tempfile
from pathlib import Path

from dgsweep.errors import Problem, ResourceError

SCRATCH_VARIABLE = "DGSWEEP_SCRATCH"


def scratch_folder() -> Path:
    """DGSWEEP_SCRATCH of this machine, else a private folder in its temporary one; made when it is not there.

    Raises:
        ResourceError: It cannot be made, or somebody else made it: what lies there could not be trusted.
    """
    given = os.environ.get(SCRATCH_VARIABLE)
    folder = Path(given).expanduser().absolute() if given else _default()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.lstat()
    except OSError as error:
        raise _unusable(folder, str(error)) from error
    if not given and (not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid()):
        raise _unusable(folder, "belongs to somebody else")
    return folder


def _default() -> Path:
    return Path(tempfile.gettempdir()).absolute() / f"dgsweep-{os.getuid()}"


def _unusable(folder: Path, found: str) -> ResourceError:
    fix = f"set {SCRATCH_VARIABLE} to a folder of this machine that you may write"
    return ResourceError("this node has no scratch folder", [Problem(where=str(folder), found=found, fix=fix)])
