"""The files below a folder that a person named."""

import os
from collections.abc import Iterator
from pathlib import Path


def files_below(folder: Path) -> Iterator[tuple[str, Path]]:
    """Path below the folder and file, sorted; hidden files, and links that lead out of the folder, are left out."""
    root = folder.resolve()
    for place, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            file = Path(place, name)
            if not name.startswith(".") and file.resolve().is_relative_to(root):
                yield file.relative_to(root).as_posix(), file
