"""Reading and writing whole files on a disk or in an object store.

A disk gets a temporary file and a rename. In a store one put is atomic, and a put on the condition that the object is
not there makes it once, whoever else tries.
"""

import errno
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from dgsweep.errors import DgsweepError
from dgsweep.storage.place import AnyPath, is_remote

_FOREIGN = {
    "botocore.exceptions": "BotoCoreError",
    "aiohttp": "ClientError",
    "azure.core.exceptions": "AzureError",
    "gcsfs.retry": "HttpError",
}
"""Errors of the stores' libraries that are no OSError: module -> class."""


class StorageError(DgsweepError):
    """An object store does not answer, or refuses."""


UNANSWERED = (OSError, StorageError)
"""What may pass by itself: a full disk may find room, and a store that does not answer may do so next time."""


def store_errors() -> tuple[type[BaseException], ...]:
    """What disks and the libraries of object stores raise, as far as they are loaded."""
    loaded = ((sys.modules.get(module), name) for module, name in _FOREIGN.items())
    return (OSError, *(vars(module)[name] for module, name in loaded if module is not None))


def read_bytes(path: AnyPath) -> bytes:
    """Content of a file; FileNotFoundError when it is not there."""
    if isinstance(path, Path):
        return path.read_bytes()
    with _translated(path, "read"):
        return bytes(path.fs.cat_file(path.path))


def write_bytes(path: AnyPath, content: bytes, *, durable: bool = True) -> None:
    """Replace a file by `content`, whole or not at all, making parent folders.

    Args:
        path: File to write.
        content: All of it.
        durable: On a disk, force it there before and after the rename; False for what a power cut may take.
    """
    if not isinstance(path, Path):
        with _translated(path, "written"):
            path.fs.pipe_file(path.path, content)
        return
    with _temporary(path, content, durable=durable) as temporary:
        temporary.replace(path)
    if durable:
        sync_folder(path.parent)


def create_bytes(path: AnyPath, content: bytes) -> bool:
    """Make a file with `content`; False when it was there. Of several that try, on any machine, one makes it.

    `content` must tell its writer from others: a put whose answer was lost is tried again and finds its own object.
    """
    if isinstance(path, Path):
        return _create_local(path, content)
    try:
        with _translated(path, "written"):
            path.fs.pipe_file(path.path, content, mode="create")
    except FileExistsError:
        return read_bytes(path) == content
    return True


def exists(path: AnyPath) -> bool:
    """Whether a file is there."""
    with _translated(path, "read"):
        return path.exists()


def names(folder: AnyPath) -> list[str]:
    """Names of the files in a folder, sorted; [] when there is none."""
    with _translated(folder, "listed"):
        try:
            return sorted(child.name for child in folder.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return []


def make_folder(path: AnyPath) -> None:
    """Make a folder and its parents; a store has none."""
    if isinstance(path, Path):
        path.mkdir(parents=True, exist_ok=True)


def remove_file(path: AnyPath) -> None:
    """Remove a file; nothing happens when it is not there."""
    if isinstance(path, Path):
        path.unlink(missing_ok=True)
        return
    with _translated(path, "removed"), suppress(FileNotFoundError):
        path.fs.rm_file(path.path)


def remove_tree(folder: AnyPath) -> None:
    """Remove a folder with all that it holds, as far as that is possible."""
    if isinstance(folder, Path):
        shutil.rmtree(folder, ignore_errors=True)
        return
    with _translated(folder, "removed"), suppress(FileNotFoundError):
        for found in folder.fs.find(folder.path):
            folder.fs.rm_file(found)


@contextmanager
def _translated(path: AnyPath, verb: str) -> Iterator[None]:
    """Raise StorageError for what a store's library raises; what a disk raises says enough by itself."""
    try:
        yield
    except store_errors() as error:
        missing_bucket = isinstance(error, FileNotFoundError) and verb == "written"
        told = isinstance(error, FileNotFoundError | FileExistsError | NotADirectoryError) and not missing_bucket
        if told or not is_remote(path):
            raise
        advice = "check the bucket, the network, and the credentials in the environment"
        raise StorageError(f"{path}: cannot be {verb} ({str(error) or type(error).__name__}); {advice}") from error


@contextmanager
def _temporary(path: Path, content: bytes, *, durable: bool) -> Iterator[Path]:
    """A file with `content` beside `path`, which is gone after the block unless it was renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid4().hex}.tmp")
    try:
        with temporary.open("xb") as stream:
            stream.write(content)
            stream.flush()
            if durable:
                os.fsync(stream.fileno())
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def _create_local(path: Path, content: bytes) -> bool:
    """A hard link is made by one process only, on a shared disk too, and shows the whole content at once."""
    with _temporary(path, content, durable=True) as temporary:
        try:
            path.hardlink_to(temporary)
        except FileExistsError:
            return False
        except OSError:  # a disk without hard links
            return _create_by_opening(path, content)
    sync_folder(path.parent)
    return True


def _create_by_opening(path: Path, content: bytes) -> bool:
    try:
        with path.open("xb") as stream:
            stream.write(content)
    except FileExistsError:
        return False
    return True


def sync_folder(folder: Path) -> None:
    """Make a rename outlive a power cut, where platform and file system can."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.ENOTSUP}:
            raise
    finally:
        os.close(descriptor)
