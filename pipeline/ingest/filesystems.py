"""Local paths and URIs behind one interface: pyarrow file systems, with fsspec for the schemes that pyarrow lacks."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import fsspec
import pyarrow as pa
from pyarrow import fs

from pipeline.ingest.download_cache import COPIES
from pipeline.ingest.sandbox import heartbeat

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
    """An input as a local file: itself if it is one, else a copy.

    To be hashed, a remote object is copied and hashed on the way, so that it crosses the network once; the copy is
    deleted afterwards. Otherwise the copy is among the last few that this process keeps (`download_cache.py`), as long
    as the size and time of modification of the object stay the same.

    Raises:
        OSError: the bytes cannot be read.
    """
    filesystem, path = resolve(location)
    if isinstance(filesystem, fs.LocalFileSystem):
        yield LocalFile(path, os.path.getsize(path), _copy(filesystem, path, None) if hashed else "")
        return
    suffix = os.path.splitext(path)[1]
    if not hashed:
        info = filesystem.get_file_info(path)
        key = location, info.size, info.mtime_ns
        with COPIES.holding(key, suffix, lambda target: _copy(filesystem, path, target)) as name:
            yield LocalFile(name, os.path.getsize(name), "")
        return
    handle, name = tempfile.mkstemp(suffix=suffix, prefix="reelmill-")
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
            heartbeat()
            state.update(chunk)
            if target is not None:
                target.write(chunk)
    return state.hexdigest()
