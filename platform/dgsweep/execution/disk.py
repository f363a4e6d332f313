"""What a disk that gives way means for the person who runs the sweep."""

import errno

from dgsweep.storage.place import AnyPath

FULL = (errno.ENOSPC, errno.EDQUOT)


def in_words(error: OSError, output: AnyPath) -> str:
    """The cause of a failure in one line, with what to do where that is known."""
    place = error.filename or output
    if error.errno in FULL:
        return f"the disk is full ({place}); make room and run the sweep again: it goes on from the last checkpoint"
    return f"{type(error).__name__}: {error}"
