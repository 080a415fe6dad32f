"""Files that are complete or not there: on a local disk under a temporary name until they are, on a store sent whole.

When one is there it is on the disk itself, so that what it replaces may be deleted.
"""

from __future__ import annotations

import mmap
import os
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO

import pyarrow as pa
from pyarrow import fs

TEMPORARY = ".tmp-"


@contextmanager
def whole_file(filesystem: fs.FileSystem, path: str) -> Iterator[IO[bytes]]:
    """A stream whose bytes are the file at `path` once the block ends; the folder of a local file is made.

    What goes to a store is on this machine's disk first. If the block raises, nothing is left.
    """
    if not isinstance(filesystem, fs.LocalFileSystem):
        with tempfile.TemporaryFile() as stream:
            yield stream
            stream.flush()
            with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
                send(filesystem, path, data)
        return
    folder, _, base = path.rpartition("/")
    os.makedirs(folder, exist_ok=True)
    temporary = f"{folder}/{TEMPORARY}{uuid.uuid4().hex}-{base}"
    try:
        with open(temporary, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    _flush(folder)


def send(filesystem: fs.FileSystem, path: str, data: bytes | pa.Buffer | mmap.mmap) -> None:
    """Write an object all at once: a stream that an error closes would make an object of what it has."""
    with filesystem.open_output_stream(path) as stream:
        stream.write(data)


def _flush(folder: str) -> None:
    """Wait until the names in a folder are on the disk (fsync(2))."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
