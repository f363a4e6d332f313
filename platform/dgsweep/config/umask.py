"""Who may read what a sweep writes: its owner alone, unless DGSWEEP_UMASK opens it to a group."""

import os
from collections.abc import Mapping

from dgsweep.errors import ConfigError, Problem

UMASK_VARIABLE = "DGSWEEP_UMASK"
PRIVATE = 0o077
_WRITE_FOR_ALL, _OWNER = 0o002, 0o700


def wanted_umask(environ: Mapping[str, str]) -> int:
    """Give the mask of permissions that new files must not have: DGSWEEP_UMASK (octal), else 077.

    Raises:
        ConfigError: The variable is no octal number, locks the owner out, or lets everybody write.
    """
    text = environ.get(UMASK_VARIABLE, "")
    if not text:
        return PRIVATE
    try:
        mask = int(text, 8)
    except ValueError:
        mask = -1
    if not 0 <= mask <= 0o777 or mask & _OWNER or not mask & _WRITE_FOR_ALL:
        problem = Problem(
            where=UMASK_VARIABLE,
            found=f"{text!r}",
            fix="three octal digits: 077 (you alone, the default), 027 (your group reads), 007 (your group writes too)",
        )
        raise ConfigError("the permissions of results cannot be set", [problem])
    return mask


def current_umask() -> int:
    """Give the mask of this process. POSIX only tells it when it is set, so it is set for a moment."""
    mask = os.umask(PRIVATE)
    os.umask(mask)
    return mask
