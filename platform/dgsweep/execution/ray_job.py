"""Whether this process is the entry point of a submitted Ray job. Free of ray and torch, so that any room may ask."""

import os
from pathlib import Path

from dgsweep.config import anchor


def inside_ray_job() -> bool:
    """Tell whether relative paths of this process would land in Ray's temporary copy of a submitted working directory.

    Seen on Ray 2.60: the job supervisor sets RAY_JOB_CONFIG_JSON_ENV_VAR for the entry point, and with `--working-dir`
    its working directory lies below a folder `_ray_pkg_<hash>`.
    """
    return anchor.inside_ray_job(os.environ, Path.cwd())
