"""The folder of results: made by the run, and removed again when the run turns out to be a mistake."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dgsweep.errors import InputError, Problem
from dgsweep.records.ledger import Ledger
from dgsweep.storage.files import exists, remove_tree
from dgsweep.storage.place import AnyPath


@contextmanager
def nothing_half_written(ledger: Ledger) -> Iterator[None]:
    """Remove an output folder that this run made, when the input turns out to be wrong before any trial began."""
    fresh = _made(ledger.output)
    try:
        yield
    except InputError:
        if fresh and not exists(ledger.files.trials):
            remove_tree(ledger.output)
        raise


def _made(folder: AnyPath) -> bool:
    """Make the folder; False when it was there, perhaps made by another driver a moment ago.

    Raises:
        InputError: It cannot be made, or nothing can be written into it.
    """
    if not isinstance(folder, Path):
        return not exists(folder)
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        if folder.is_dir() and os.access(folder, os.W_OK):
            return False
        found = "may not be written" if folder.is_dir() else "is a file"
    except OSError as error:
        found = f"cannot be made ({error.strerror})"
    else:
        return True
    raise InputError(
        "the output cannot be used", [Problem(where="output", found=f"{folder} {found}", fix="name another folder")]
    )
