"""Local paths and URIs behind one interface: pyarrow file systems, with fsspec for the schemes that pyarrow lacks."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, cast
from urllib.parse import quote, unquote_to_bytes

import fsspec
import pyarrow as pa
from pyarrow import fs

from pipeline.ingest.download_cache import COPIES
from pipeline.ingest.failures import BadLocation
from pipeline.ingest.sandbox import heartbeat

COPY_BYTES = 1 << 22
NUM_TRIES, TRIES_VARIABLE = 5, "AWS_MAX_ATTEMPTS"
"""How often a request to S3 is tried, and the variable by which AWS's own tools take another number. The waits between
grow to seconds, which a busy store needs; a silent one costs 3 s a try."""
LOCAL = "file://"


def is_uri(location: str) -> bool:
    return "://" in location


def beside(location: str, name: str) -> str:
    """The location of `name`, a relative path, in the folder of a file; the query of a URI is kept."""
    path, mark, query = location.partition("?") if is_uri(location) else (location, "", "")
    return f"{path.rpartition('/')[0] or '.'}/{name}{mark}{query}"


def local_uri(path: str) -> str:
    """The location of a local path: itself, or a URI if its name is not UTF-8, which tables could not hold."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return LOCAL + quote(os.fsencode(path))
    return path


def resolve(location: str) -> tuple[fs.FileSystem, str]:
    """File system and path of a location; a plain path becomes absolute.

    Raises:
        ValueError: a scheme that neither pyarrow nor fsspec knows, or one whose package is not installed.
    """
    if not is_uri(location):
        return fs.LocalFileSystem(), os.path.abspath(os.path.expanduser(location))
    if location.startswith(LOCAL):
        return fs.LocalFileSystem(), os.path.abspath(os.fsdecode(unquote_to_bytes(location.removeprefix(LOCAL))))
    try:
        filesystem, path = fs.FileSystem.from_uri(location)
        return (_patient(filesystem) if isinstance(filesystem, fs.S3FileSystem) else filesystem), path
    except pa.ArrowInvalid as unknown:
        try:
            filesystem, path = fsspec.core.url_to_fs(location)
        except ImportError as error:
            raise ValueError(str(error)) from unknown
        return fs.PyFileSystem(fs.FSSpecHandler(filesystem)), path


def _patient(filesystem: fs.S3FileSystem) -> fs.S3FileSystem:
    """The same store, by a client that retries as AWS advises.

    A URI cannot say so, and by default pyarrow retries 30 times, 200 ms apart. The settings that the URI does give are
    seen only in how a file system is pickled.
    """
    _, (settings,) = cast(Any, filesystem.__reduce__())
    strategy = fs.AwsStandardS3RetryStrategy(max_attempts=int(os.environ.get(TRIES_VARIABLE, NUM_TRIES)))
    return fs.S3FileSystem(**settings | {"retry_strategy": strategy})


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
        OSError: the bytes cannot be read, or the location is none.
    """
    try:
        filesystem, path = resolve(location)
        local = None
        if isinstance(filesystem, fs.LocalFileSystem):
            local = LocalFile(path, os.path.getsize(path), _digest_of(path) if hashed else "")
    except ValueError as error:  # an unknown scheme, or a name that no file can have
        raise BadLocation(str(error)) from error
    if local is not None:
        yield local
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


def _copy(filesystem: fs.FileSystem, path: str, target: BinaryIO) -> str:
    state = hashlib.sha256()
    try:
        with filesystem.open_input_stream(path) as stream:
            while chunk := stream.read(COPY_BYTES):
                heartbeat()
                state.update(chunk)
                target.write(chunk)
    except (OSError, MemoryError):
        raise
    except Exception as error:  # the packages behind fsspec have errors of their own, as for a body that was cut short
        raise OSError(f"{type(error).__name__}: {error}") from error
    return state.hexdigest()


def _digest_of(path: str) -> str:
    state = hashlib.sha256()
    with open(path, "rb") as stream:
        while chunk := stream.read(COPY_BYTES):
            heartbeat()
            state.update(chunk)
    return state.hexdigest()
