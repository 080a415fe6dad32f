"""Inputs: files, folders, globs, URIs, and lists (`.parquet`, `.csv`, `.jsonl`) whose other columns are kept."""

from __future__ import annotations

import fnmatch
import glob
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet
from pyarrow import fs

from pipeline.ingest.filesystems import beside, is_uri, resolve
from schemas.errors import UsageError

LIST_READERS = {
    ".parquet": pyarrow.parquet.read_table,
    ".csv": pyarrow.csv.read_csv,
    ".jsonl": pyarrow.json.read_json,
}
VIDEO_SUFFIXES = ("mp4", "m4v", "mov", "mkv", "webm", "avi", "mpg", "mpeg", "ts", "mts", "flv", "wmv", "ogv", "3gp")
IMAGE_SUFFIXES = ("png", "jpg", "jpeg", "webp", "bmp", "tif", "tiff", "gif")
MEDIA_SUFFIXES = frozenset(f".{suffix}" for suffix in (*VIDEO_SUFFIXES, *IMAGE_SUFFIXES))


class InputError(UsageError):
    """An input argument that names nothing that can be read; one line."""


@dataclass(frozen=True)
class ListedInput:
    """One file to read. `source` is a JSON object of its other columns in the list."""

    uri: str
    file_bytes: int = 0
    modified_us: int = 0
    source: str = "{}"
    duplicate_of: str | None = None

    @property
    def key(self) -> tuple[str, int, int]:
        return self.uri, self.file_bytes, self.modified_us


@dataclass(frozen=True)
class Listing:
    """The inputs, each once, in order; and how many files in folders were left out because of their suffix."""

    inputs: tuple[ListedInput, ...]
    num_other_files: int = 0


def list_inputs(arguments: Iterable[str]) -> Listing:
    """Resolve command-line inputs to files.

    A folder gives its media files, by suffix and at any depth; a file, a glob match or a row of a list is always taken.

    Raises:
        InputError: an argument matches nothing, or a list cannot be read or has no `uri` column.
    """
    found: dict[str, ListedInput] = {}
    num_other = 0
    for argument in arguments:
        inputs, others = _list_one(argument)
        num_other += others
        for listed in inputs:
            found.setdefault(listed.uri, listed)
    return Listing(tuple(found.values()), num_other)


def _list_one(argument: str) -> tuple[list[ListedInput], int]:
    try:
        filesystem, path = resolve(argument)
        info = filesystem.get_file_info(path)
    except (ValueError, OSError) as error:
        raise InputError(f"input {argument}: {error}") from error
    if info.type == fs.FileType.File:
        if _suffix(path) in LIST_READERS:
            return _read_list(argument, filesystem, path), 0
        return [_listed(argument, filesystem, info)], 0
    if info.type == fs.FileType.Directory:
        return _list_folder(argument, filesystem, path)
    if any(char in argument for char in "*?["):
        return _list_glob(argument, filesystem, path), 0
    raise InputError(f"input {argument}: no such file or folder")


def _list_folder(argument: str, filesystem: fs.FileSystem, path: str) -> tuple[list[ListedInput], int]:
    infos = filesystem.get_file_info(fs.FileSelector(path, recursive=True))
    files = sorted((i for i in infos if i.type == fs.FileType.File), key=lambda i: i.path)
    media = [i for i in files if _suffix(i.path) in MEDIA_SUFFIXES]
    if not media:
        raise InputError(f"input {argument}: no video or image file in this folder")
    return [_listed(argument, filesystem, info) for info in media], len(files) - len(media)


def _list_glob(argument: str, filesystem: fs.FileSystem, path: str) -> list[ListedInput]:
    if isinstance(filesystem, fs.LocalFileSystem):
        infos = filesystem.get_file_info(sorted(glob.glob(path, recursive=True)))
    else:
        parent = path[: min(path.index(char) for char in "*?[" if char in path)].rpartition("/")[0]
        infos = filesystem.get_file_info(fs.FileSelector(parent, recursive=True, allow_not_found=True))
        infos = sorted((i for i in infos if fnmatch.fnmatchcase(i.path, path)), key=lambda i: i.path)
    files = [info for info in infos if info.type == fs.FileType.File]
    if not files:
        raise InputError(f"input {argument}: matches no file")
    return [_listed(argument, filesystem, info) for info in files]


def _read_list(argument: str, filesystem: fs.FileSystem, path: str) -> list[ListedInput]:
    try:
        with filesystem.open_input_file(path) as stream:
            table = LIST_READERS[_suffix(path)](stream)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"input list {argument}: {error}") from error
    if "uri" not in table.column_names:
        raise InputError(f"input list {argument}: no column 'uri' (columns: {', '.join(table.column_names)})")
    if not table.num_rows:
        raise InputError(f"input list {argument}: no rows")
    return [_listed_row(argument, number, row) for number, row in enumerate(table.to_pylist(), start=1)]


def _suffix(path: str) -> str:
    return os.path.splitext(path)[1].lower()


def _listed_row(argument: str, number: int, row: Mapping[str, Any]) -> ListedInput:
    uri = row["uri"]
    if not isinstance(uri, str) or not uri:
        raise InputError(f"input list {argument}: row {number} has no uri")
    if not is_uri(uri) and not os.path.isabs(uri):
        uri = beside(argument, uri)
    # A value that does not equal itself is NaN: pandas writes it for an empty cell, and JSON has no such value.
    source = {name: value for name, value in row.items() if name != "uri" and value is not None and value == value}
    encoded = json.dumps(source, ensure_ascii=False, sort_keys=True, default=str)
    try:
        filesystem, path = resolve(uri)
        return replace(_listed(uri, filesystem, filesystem.get_file_info(path)), source=encoded)
    except (ValueError, OSError):
        return ListedInput(uri, source=encoded)


def _listed(argument: str, filesystem: fs.FileSystem, info: fs.FileInfo) -> ListedInput:
    if isinstance(filesystem, fs.LocalFileSystem) or is_uri(info.path):
        uri = info.path
    else:
        scheme, _, rest = argument.partition("://")
        query = rest.partition("?")[2]
        uri = f"{scheme}://{info.path}" + (f"?{query}" if query else "")
    modified = info.mtime_ns // 1000 if info.mtime_ns else 0
    return ListedInput(uri, file_bytes=max(info.size or 0, 0), modified_us=max(modified, 0))
