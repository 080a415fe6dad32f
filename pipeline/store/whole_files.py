"""Files that are complete or not there: on a local disk under a temporary name until they are, on an object store one
request. When one is there it is on the disk itself, so that what it replaces may be deleted."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa
from pyarrow import fs

TEMPORARY = ".tmp-"


@contextmanager
def whole_file(filesystem: fs.FileSystem, path: str) -> Iterator[pa.NativeFile]:
    """A stream whose bytes are the file at `path` once the block ends; the folder of a local file is made."""
    if not isinstance(filesystem, fs.LocalFileSystem):
        with filesystem.open_output_stream(path) as stream:
            yield stream
        return
    folder, _, base = path.rpartition("/")
    os.makedirs(folder, exist_ok=True)
    temporary = f"{folder}/{TEMPORARY}{uuid.uuid4().hex}-{base}"
    with filesystem.open_output_stream(temporary) as stream:
        yield stream
    _flush(temporary)
    os.replace(temporary, path)
    _flush(folder)


def _flush(path: str) -> None:
    """Wait until a file, or the names in a folder, are on the disk (fsync(2))."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
