"""The second level of the preprocess cache: one object of a store an entry, so that nodes share what one has built."""

import io
import json
import zipfile
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from dgsweep.storage.files import read_bytes, write_bytes
from dgsweep.storage.place import AnyPath

Arrays = Mapping[str, npt.NDArray[Any]]
Entry = tuple[Arrays, dict[str, Any]]
_META = "meta"


def shared_entry(path: AnyPath, build: Callable[[], Entry]) -> Entry:
    """Arrays and meta of an entry: from the store, else built and put there.

    An entry is filed under its content, so of several builders any may come last.
    """
    found = _fetched(path)
    if found is not None:
        return found
    arrays, meta = build()
    packed = io.BytesIO()
    text = np.frombuffer(json.dumps(meta).encode(), dtype=np.uint8)
    np.savez(packed, allow_pickle=False, **{_META: text}, **arrays)
    write_bytes(path, packed.getvalue())
    return arrays, meta


def _fetched(path: AnyPath) -> Entry | None:
    """None when it is not there, or damaged: the archive keeps a checksum of each array."""
    try:
        packed = np.load(io.BytesIO(read_bytes(path)), allow_pickle=False)
        arrays = {name: packed[name] for name in packed.files}
        meta = json.loads(arrays.pop(_META).tobytes())
    except (FileNotFoundError, zipfile.BadZipFile, ValueError, KeyError, EOFError):
        return None
    return arrays, meta
