"""Inputs: files, folders, globs, URIs, and lists (`.parquet`, `.csv`, `.jsonl`) whose other columns are kept."""

from __future__ import annotations

import fnmatch
import glob
import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

import pyarrow as pa
from pyarrow import NativeFile, fs

from pipeline.ingest.failures import one_line
from pipeline.ingest.filesystems import beside, is_uri, local_uri, resolve
from pipeline.ingest.folders import files_below
from pipeline.ingest.lists import LIST_READERS, BadList
from schemas.errors import Unreachable, UsageError, outage_in

VIDEO_SUFFIXES = ("mp4", "m4v", "mov", "mkv", "webm", "avi", "mpg", "mpeg", "ts", "mts", "flv", "wmv", "ogv", "3gp")
IMAGE_SUFFIXES = ("png", "jpg", "jpeg", "webp", "bmp", "tif", "tiff", "gif")
MEDIA_SUFFIXES = frozenset(f".{suffix}" for suffix in (*VIDEO_SUFFIXES, *IMAGE_SUFFIXES))


class InputError(UsageError):
    """An input argument that names nothing that can be read; one line."""


@dataclass(frozen=True, slots=True)
class ListedInput:
    """One file to read. `source` is a JSON object of its other columns in the list."""

    uri: str
    file_bytes: int = 0
    modified_us: int = 0
    source: str = "{}"
    num_failures: int = 0
    """How often reading it has failed before."""


@dataclass(frozen=True)
class Listing:
    """The inputs, each once, in order."""

    table: pa.Table
    """A row for each, with the columns of `ListedInput`."""
    num_other_files: int = 0
    """Files in folders that were left out because of their suffix."""
    num_repeated: int = 0
    """Rows of lists that name a file again and say something else of it: what the first row says counts."""

    @property
    def inputs(self) -> tuple[ListedInput, ...]:
        return tuple(ListedInput(**row) for row in self.table.to_pylist())


def list_inputs(arguments: Iterable[str]) -> Listing:
    """Resolve command-line inputs to files.

    A folder gives its media files, by suffix and at any depth; a file, a glob match or a row of a list is always taken.

    Raises:
        InputError: an argument matches nothing, or a list cannot be read or has no `uri` column.
        Unreachable: the store that an argument is on does not answer now.
    """
    found: dict[str, ListedInput] = {}
    num_other = num_repeated = 0
    for argument in arguments:
        try:
            inputs, others = _list_one(argument)
        except OSError as error:
            kind = Unreachable if outage_in(error) else InputError
            raise kind(f"input {argument}: {one_line(error)}") from error
        num_other += others
        for listed in inputs:
            first = found.setdefault(listed.uri, listed)
            num_repeated += first.source != listed.source
    return Listing(as_table(found.values()), num_other, num_repeated)


def as_table(inputs: Iterable[ListedInput]) -> pa.Table:
    """A row for each, with the columns of `ListedInput`."""
    inputs = list(inputs)
    return pa.table({name: pa.array([getattr(x, name) for x in inputs], kind) for name, kind in COLUMNS.items()})


COLUMNS = {
    "uri": pa.string(),
    "file_bytes": pa.int64(),
    "modified_us": pa.int64(),
    "source": pa.string(),
    "num_failures": pa.int32(),
}


def _list_one(argument: str) -> tuple[list[ListedInput], int]:
    """The inputs of one argument, and how many files of a folder were left out."""
    try:
        filesystem, path = resolve(argument)
        kind = _kind(filesystem, path)
    except ValueError as error:
        raise InputError(f"input {argument}: {error}") from error
    if kind == fs.FileType.File:
        if _suffix(path) in LIST_READERS:
            return _read_list(argument, filesystem, path), 0
        if _suffix(path) not in MEDIA_SUFFIXES:
            _refuse_text(argument, filesystem, path)
        return [_listed(argument, filesystem, path)], 0
    if kind == fs.FileType.Directory:
        return _list_folder(argument, filesystem, path)
    if any(char in path for char in "*?["):  # and not in the query of a URI
        return _list_glob(argument, filesystem, path), 0
    raise InputError(f"input {argument}: no such file or folder")


def _kind(filesystem: fs.FileSystem, path: str) -> fs.FileType:
    if not isinstance(filesystem, fs.LocalFileSystem):  # which takes no name that is not UTF-8
        kind = filesystem.get_file_info(path).type
        if kind == fs.FileType.NotFound:
            _raise_outage(filesystem, path)
        return kind
    if os.path.isdir(path):
        return fs.FileType.Directory
    return fs.FileType.File if os.path.exists(path) else fs.FileType.NotFound


def _raise_outage(filesystem: fs.FileSystem, path: str) -> None:
    """Raise why a server does not answer, where that was taken for a file that is not there, as fsspec does."""
    if isinstance(filesystem, fs.PyFileSystem) and isinstance(filesystem.handler, fs.FSSpecHandler):
        try:
            filesystem.handler.fs.info(path)
        except FileNotFoundError as error:
            if outage := outage_in(error):
                raise OSError(one_line(outage)) from outage


def _refuse_text(argument: str, filesystem: fs.FileSystem, path: str) -> None:
    """A file of text or of packed text, not named like a film, was meant as a list, of a kind that is not read."""
    with _opened(filesystem, path) as stream:
        start = stream.read(SNIFFED_BYTES)
    try:
        is_text = bool(start) and "\0" not in start.decode()
    except UnicodeDecodeError as error:
        is_text = error.start > SNIFFED_BYTES - MAX_CHARACTER_BYTES  # one that the end cuts
    if is_text or start.startswith(PACKED):
        kinds = ", ".join(LIST_READERS)
        raise InputError(f"input {argument}: neither video nor image; lists are read from {kinds} files")


SNIFFED_BYTES, MAX_CHARACTER_BYTES = 1024, 4
PACKED = (b"\x1f\x8b", b"PK\x03\x04", b"BZh", b"\x28\xb5\x2f\xfd")
"""How gzip, zip, bzip2 and zstd begin."""


def _list_folder(argument: str, filesystem: fs.FileSystem, path: str) -> tuple[list[ListedInput], int]:
    if isinstance(filesystem, fs.LocalFileSystem):
        files = [_listed_local(name) for name in files_below(path)]
    else:
        files = _listed_below(argument, filesystem, path)
    media = [listed for listed in files if _suffix(listed.uri.partition("?")[0]) in MEDIA_SUFFIXES]
    if not media:
        raise InputError(f"input {argument}: no video or image file in this folder")
    return media, len(files) - len(media)


def _list_glob(argument: str, filesystem: fs.FileSystem, path: str) -> list[ListedInput]:
    if isinstance(filesystem, fs.LocalFileSystem):
        files = [_listed_local(name) for name in sorted(glob.glob(path, recursive=True)) if os.path.isfile(name)]
    else:
        parent = path[: min(path.index(char) for char in "*?[" if char in path)].rpartition("/")[0]
        files = _listed_below(argument, filesystem, parent, lambda name: fnmatch.fnmatchcase(name, path))
    if not files:
        raise InputError(f"input {argument}: matches no file")
    return files


def _listed_below(
    argument: str, filesystem: fs.FileSystem, folder: str, chosen: Callable[[str], bool] = bool
) -> list[ListedInput]:
    infos = filesystem.get_file_info(fs.FileSelector(folder, recursive=True, allow_not_found=True))
    files = (info for info in infos if info.type == fs.FileType.File and chosen(info.path))
    return [_listed_info(argument, info) for info in sorted(files, key=lambda info: info.path)]


def _read_list(argument: str, filesystem: fs.FileSystem, path: str) -> list[ListedInput]:
    try:
        with _opened(filesystem, path) as stream:
            names, rows = LIST_READERS[_suffix(path)](stream)
    except BadList as error:
        raise InputError(f"input list {argument}: {error}") from error
    if "uri" not in names:
        raise InputError(f"input list {argument}: no column 'uri' (columns: {', '.join(names)})")
    if not rows:
        raise InputError(f"input list {argument}: no rows")
    return [_listed_row(argument, number, row) for number, row in enumerate(rows, start=1)]


def _suffix(path: str) -> str:
    return os.path.splitext(path)[1].lower()


def _listed_row(argument: str, number: int, row: Mapping[str, Any]) -> ListedInput:
    uri = row.get("uri")
    if not isinstance(uri, str) or not uri:
        raise InputError(f"input list {argument}: row {number} has no uri")
    if not is_uri(uri) and not os.path.isabs(uri):
        uri = beside(argument, uri)
    # A value that does not equal itself is NaN: pandas writes it for an empty cell, and JSON has no such value.
    source = {name: value for name, value in row.items() if name != "uri" and value is not None and value == value}
    encoded = json.dumps(source, ensure_ascii=False, sort_keys=True, default=str)
    try:
        return replace(_listed(uri, *resolve(uri)), source=encoded)
    except (ValueError, OSError):  # read later on, and then a failed row
        return ListedInput(uri, source=encoded)


def _listed_local(path: str) -> ListedInput:
    """A local file, or one that is not there, which scanning will say."""
    try:
        found = os.stat(path)
    except OSError:
        return ListedInput(local_uri(path))
    return ListedInput(local_uri(path), found.st_size, found.st_mtime_ns // 1000)


def _listed(argument: str, filesystem: fs.FileSystem, path: str) -> ListedInput:
    if isinstance(filesystem, fs.LocalFileSystem):
        return _listed_local(path)
    return _listed_info(argument, filesystem.get_file_info(path))


def _listed_info(argument: str, info: fs.FileInfo) -> ListedInput:
    if is_uri(info.path):
        uri = info.path
    else:
        scheme, _, rest = argument.partition("://")
        query = rest.partition("?")[2]
        uri = f"{scheme}://{info.path}" + (f"?{query}" if query else "")
    modified = info.mtime_ns // 1000 if info.mtime_ns else 0
    return ListedInput(uri, file_bytes=max(info.size or 0, 0), modified_us=max(modified, 0))


def _opened(filesystem: fs.FileSystem, path: str) -> BinaryIO | NativeFile:
    return open(path, "rb") if isinstance(filesystem, fs.LocalFileSystem) else filesystem.open_input_file(path)
