"""Writing rows as they come, in parts of a fair size: a part ends when it is large, or when its first row is old.

How old grows with the time for which rows have come, so that a run that is killed has lost a tenth of its time and at
most a minute, and a long run does not leave a file for every few rows.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence

import pyarrow as pa

from pipeline.store.dataset import Dataset
from schemas.columns import Table

MAX_BYTES = 64 << 20
MIN_AGE_S, MAX_AGE_S, AGE_FRAC = 2.0, 60.0, 0.1
CHECK_S = 0.5

Rows = Mapping[Table, pa.Table]
"""Rows of some tables, in their columns but the stamps, which are to be seen together."""


class PartWriter:
    """Collects rows, and writes those of all tables together, one table after another.

    Args:
        tables: in the order in which they are written: what says that other rows are there comes after them.
    """

    def __init__(self, dataset: Dataset, tables: Sequence[Table]) -> None:
        self._dataset = dataset
        self._waiting: dict[Table, list[pa.Table]] = {table: [] for table in tables}
        self._num_bytes, self._oldest_s = 0, 0.0
        self._begin_s = time.monotonic()
        self._lock, self._end = threading.Lock(), threading.Event()
        self._failure: BaseException | None = None
        self._clock = threading.Thread(target=self._write_old, daemon=True)

    def __enter__(self) -> PartWriter:
        self._clock.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Writes what is left, also after an error of another: it has been worked out."""
        self._end.set()
        self._clock.join()
        with self._lock:
            self._write()
        if kind is None:
            self._raise_failure()

    def add(self, rows: Rows) -> None:
        """Take rows; they are written now or later.

        Raises:
            OSError: earlier ones could not be written.
        """
        with self._lock:
            self._raise_failure()
            if not self._num_bytes:
                self._oldest_s = time.monotonic()
            for table, added in rows.items():
                if added.num_rows:
                    self._waiting[table].append(added)
                    self._num_bytes += added.nbytes
            if self._num_bytes >= MAX_BYTES:
                self._write()

    def flush(self) -> None:
        """Write what has been taken.

        Raises:
            OSError: it, or earlier rows, could not be written.
        """
        with self._lock:
            self._raise_failure()
            self._write()

    def _write(self) -> None:
        for table, parts in self._waiting.items():
            if parts:
                self._dataset.write_table(table, pa.concat_tables(parts))
                parts.clear()
        self._num_bytes = 0

    def _write_old(self) -> None:
        while not self._end.wait(CHECK_S):
            now_s = time.monotonic()
            age_s = min(max((now_s - self._begin_s) * AGE_FRAC, MIN_AGE_S), MAX_AGE_S)
            with self._lock:
                if self._num_bytes and now_s - self._oldest_s >= age_s:
                    try:
                        self._write()
                    except OSError as error:
                        self._failure = error
                        return

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure
