"""Local paths and URIs behind one interface: pyarrow file systems, with fsspec for the schemes that pyarrow lacks."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import fsspec
import pyarrow as pa
from pyarrow import fs

COPY_BYTES = 1 << 22


def is_uri(location: str) -> bool:
    return "://" in location


def beside(location: str, name: str) -> str:
    """The location of `name`, a relative path, in the folder of a file; the query of a URI is kept."""
    path, mark, query = location.partition("?") if is_uri(location) else (location, "", "")
    return f"{path.rpartition('/')[0] or '.'}/{name}{mark}{query}"


def resolve(location: str) -> tuple[fs.FileSystem, str]:
    """File system and path of a location; a plain path becomes absolute.

    Raises:
        ValueError: a scheme that neither pyarrow nor fsspec knows, or one whose package is not installed.
    """
    if not is_uri(location):
        return fs.LocalFileSystem(), os.path.abspath(os.path.expanduser(location))
    try:
        return fs.FileSystem.from_uri(location)
    except pa.ArrowInvalid as unknown:
        try:
            filesystem, path = fsspec.core.url_to_fs(location)
        except ImportError as error:
            raise ValueError(str(error)) from unknown
        return fs.PyFileSystem(fs.FSSpecHandler(filesystem)), path


@dataclass(frozen=True)
class LocalFile:
    """The bytes of an input on this machine's disk."""

    path: str
    num_bytes: int
    sha256: str


@contextmanager
def local_copy(location: str, *, hashed: bool = True) -> Iterator[LocalFile]:
    """Give an input as a local file: itself if it is one, else a copy that is deleted afterwards.

    A remote object is hashed while it is copied, so that it crosses the network once.

    Raises:
        OSError: the bytes cannot be read.
    """
    filesystem, path = resolve(location)
    if isinstance(filesystem, fs.LocalFileSystem):
        yield LocalFile(path, os.path.getsize(path), _copy(filesystem, path, None) if hashed else "")
        return
    handle, name = tempfile.mkstemp(suffix=Path(path).suffix, prefix="reelmill-")
    try:
        with os.fdopen(handle, "wb") as target:
            sha256 = _copy(filesystem, path, target)
        yield LocalFile(name, os.path.getsize(name), sha256)
    finally:
        os.unlink(name)


def _copy(filesystem: fs.FileSystem, path: str, target) -> str:
    state = hashlib.sha256()
    with filesystem.open_input_stream(path) as stream:
        while chunk := stream.read(COPY_BYTES):
            state.update(chunk)
            if target is not None:
                target.write(chunk)
    return state.hexdigest()
