"""Tables that follow from other files, kept in the data set under a key, and mapped into memory from there.

Whoever needs them computes the key from all that they follow from, so they are never out of date. A file that is
damaged, or is another one under this name, is not read, and is made again. Where nothing can be written the tables are
used as they are.
"""

from __future__ import annotations

import hashlib
import logging
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import IO, Any

import duckdb
import pyarrow as pa

from pipeline.ingest.failures import one_line
from pipeline.store.dataset import ROWS_AT_A_TIME, Dataset
from schemas.identity import READ_BYTES

MAX_MEMORY = "512MiB"
"""Of DuckDB's own while tables are made; what it does not hold lies in temporary files. A choice."""
KEY, SUFFIX = b"reelmill.key", ".arrow"
DIGEST_BYTES = hashlib.sha256().digest_size
"""At the end of a file, of all before."""

log = logging.getLogger(__name__)


def kept_tables(
    dataset: Dataset,
    folder: str,
    key: str,
    schemas: Mapping[str, pa.Schema],
    make: Callable[[duckdb.DuckDBPyConnection], Mapping[str, str]],
) -> dict[str, pa.Table]:
    """The tables of a key, made if they are not there; those of other keys in the folder are deleted then.

    Args:
        folder: of the data set, in which no two keys are in use for long.
        schemas: of each table, by name.
        make: prepares a connection, and gives SQL of each table in its columns.
    """
    names = {table: f"{folder}/{key}.{table}{SUFFIX}" for table in schemas}
    found = _read(dataset, names, key, schemas)
    if found is not None:
        return found
    with duckdb.connect(config={"temp_directory": tempfile.gettempdir(), "memory_limit": MAX_MEMORY}) as connection:
        queries = {table: connection.sql(query) for table, query in make(connection).items()}
        try:
            for table, name in names.items():
                _write(dataset, name, key, schemas[table], queries[table])
            _delete_others(dataset, folder, set(names.values()))
            found = _read(dataset, names, key, schemas)
        except OSError as error:
            log.warning("not kept in %s/%s: %s", dataset.location, folder, one_line(error))
        return found or {table: queries[table].to_arrow_table().cast(schema) for table, schema in schemas.items()}


def _write(dataset: Dataset, name: str, key: str, schema: pa.Schema, query: duckdb.DuckDBPyRelation) -> None:
    with dataset.new_file(name) as stream:
        hashed = _Hashed(stream)
        sink: Any = hashed
        with pa.ipc.new_file(sink, schema.with_metadata({KEY: key})) as writer:
            for batch in query.to_arrow_reader(ROWS_AT_A_TIME):
                writer.write_table(pa.Table.from_batches([batch]).cast(schema))
        stream.write(hashed.state.digest())


def _read(
    dataset: Dataset, names: Mapping[str, str], key: str, schemas: Mapping[str, pa.Schema]
) -> dict[str, pa.Table] | None:
    """The tables, if all are there and whole."""
    found = {}
    for table, name in names.items():
        try:
            content = dataset.mapped(name)
            if not _is_whole(dataset, name, content):
                return None
            rows = pa.ipc.open_file(content.slice(0, content.size - DIGEST_BYTES)).read_all()
        except (OSError, pa.ArrowException):
            return None
        if rows.schema.metadata != {KEY: key.encode()} or not rows.schema.equals(schemas[table]):
            return None
        found[table] = rows
    return found


def _is_whole(dataset: Dataset, name: str, content: pa.Buffer) -> bool:
    """Whether a file is as it was written. A local one is read for that, so that its mapping takes no memory yet."""
    state, left = hashlib.sha256(), content.size - DIGEST_BYTES
    if left < 0:
        return False
    with dataset.open(name) if dataset.is_local else pa.BufferReader(content) as stream:
        while left and (read := stream.read(min(READ_BYTES, left))):
            state.update(read)
            left -= len(read)
        return stream.read(DIGEST_BYTES) == state.digest()


def _delete_others(dataset: Dataset, folder: str, kept: set[str]) -> None:
    """Delete what earlier keys left; a process that has such a file mapped keeps it until it ends."""
    ends = tuple(f"/{name}" for name in kept)
    with suppress(OSError):
        dataset.delete_files(path for path in dataset.files(folder, SUFFIX) if not path.endswith(ends))


class _Hashed:
    """A stream that hashes what is written to it."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.state, self._stream, self.closed = hashlib.sha256(), stream, False

    def write(self, data: bytes) -> int:
        self.state.update(data)
        return self._stream.write(data)

    def tell(self) -> int:
        return self._stream.tell()

    def flush(self) -> None:
        self._stream.flush()
