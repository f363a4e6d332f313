"""What must be known of file locks on disks that machines share."""

import errno
from functools import cache
from pathlib import Path

NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL)
"""What a file system answers that keeps no locks."""


@cache
def boot_id() -> str:
    """Random name of this start of the machine: among its processes file locks work. '' where there is none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""
