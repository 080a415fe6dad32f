"""Which rows of a table nothing shows any more, neither now nor as it was at a release.

Whoever reads a table reads the newest row of something: of what its view says (the key, or `newest.OF_ROW`), or of a
part of those rows (`newest.APART`). The newest of a kind is also the newest of any finer kind that it belongs to, so it
is enough to keep the newest row of the finest:

    clips, embeddings, text, duplicates,   of each key: a caption of each captioner, every match of a clip
    duplicate_matches, captions,
    caption_identity
    decisions, caption_decisions           of each clip, or caption: the rules that judged are part of the key only
    measures                               of each clip and fingerprint the newest that could be taken, and the newest
                                           failure, which counts those before it (`num_failures`)
    latents                                of each key the newest that is ok, and the newest that failed
    videos                                 of each input, and of each of its bytes, divisions and outcomes

A release shows the data set without the rows that were written after it was frozen (`views.keep_rows_until`). So the
releases divide time into spans, and the newest row of a kind in each span is kept: what was newest at a release is the
newest of the last span before it that has a row. Rows that do not say when they were written are a span of their own if
there are releases, since a comparison of releases says that there are such rows.

Equal rows, of which a killed compaction leaves two, are one. Of different rows of a kind with the same stamps any may
be kept, as any may be shown.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import duckdb
import numpy as np
import pyarrow as pa

from pipeline.store.dataset import Dataset
from pipeline.store.newest import APART, NEWEST_FIRST, OF_ROW, STAMPS, by_repetition
from schemas.columns import Table


@dataclass
class PartRows:
    """What the rows of a part file are."""

    num_rows: int = 0
    num_superseded: int = 0
    has_former_columns: bool = False
    """Whether it has values in columns that rows of now do not have."""
    first_us: int = 0
    """When the first of them was written, Unix time; 0 if one does not say."""


class Superseded:
    """The superseded rows of part files, found in one pass over the columns that decide it.

    They are tables of DuckDB, which keeps on disk what does not fit in memory.

    Args:
        name: of the table, in queries.
        paths: its part files; of equal rows the one in the first of them is kept.
        frozen_us: when releases were frozen, Unix time.
    """

    def __init__(
        self, dataset: Dataset, name: str, table: Table, paths: Sequence[str], frozen_us: Sequence[int]
    ) -> None:
        kinds = kinds_of(name, table)
        self.parts = [PartRows() for _ in paths]
        self._connection = duckdb.connect(config={"temp_directory": tempfile.gettempdir()})
        self._connection.execute("set enable_progress_bar = false")
        self._connection.register("scanned", self._scanned(dataset, table, paths, list(kinds)))
        facts = {"span": _span(frozen_us)} | {f"kind_{number}": kind for number, kind in enumerate(kinds.values())}
        given = ", ".join(f"{value} as {fact}" for fact, value in facts.items())
        scanned = table.sql_of_now("select * from scanned", [*kinds, *STAMPS])
        self._connection.execute(
            f"create temp table located as select {given}, {', '.join(STAMPS)}, part, place from ({scanned})"
        )
        _, repeated = by_repetition("located", list(facts), repeated="part, place")
        order = f"partition by {', '.join(facts)} order by {NEWEST_FIRST}, part, place"
        self._connection.execute(
            f"create temp table superseded as select * from ({repeated} qualify row_number() over ({order}) > 1) "
            "order by part, place"
        )
        self._connection.execute("drop table located")
        counts = self._connection.execute("select part, count(*) from superseded group by part").fetchall()
        for part, num_rows in counts:
            self.parts[part].num_superseded = num_rows

    def places(self, part: int) -> np.ndarray:
        """Row numbers of the superseded rows of a part, in order."""
        found = self._connection.execute("select place from superseded where part = ?", [part]).fetchnumpy()
        return np.asarray(found["place"])

    def _scanned(
        self, dataset: Dataset, table: Table, paths: Sequence[str], names: Sequence[str]
    ) -> pa.RecordBatchReader:
        """Some columns of all rows with their part and row number; what `parts` says is noted on the way."""
        read = list(dict.fromkeys([*names, *STAMPS, *table.former_names]))
        fields = [table.stored_schema.field(name).with_nullable(True) for name in read]
        place = [pa.field("part", pa.int32()), pa.field("place", pa.int64())]
        numbers = {path: number for number, path in enumerate(paths)}

        def batches() -> Iterator[pa.RecordBatch]:
            for tagged in dataset.scanner(table, paths).scanner(columns=read).scan_batches():
                batch, number = tagged.record_batch, numbers[tagged.fragment.path]
                first = self.parts[number].num_rows
                _note(self.parts[number], batch, table)
                part = pa.repeat(pa.scalar(number, pa.int32()), batch.num_rows)
                places = pa.array(np.arange(first, first + batch.num_rows))
                own = [batch[field.name] for field in fields]
                yield pa.RecordBatch.from_arrays([*own, part, places], schema=pa.schema([*fields, *place]))

        return pa.RecordBatchReader.from_batches(pa.schema([*fields, *place]), batches())


def _note(part: PartRows, batch: pa.RecordBatch, table: Table) -> None:
    if batch.num_rows:
        times_us = batch["written_us"]
        for former, name in table.formerly.items():
            times_us = times_us.fill_null(batch[former]) if name == "written_us" else times_us
        written_us = int(times_us.fill_null(0).to_numpy().min())
        part.first_us = min(written_us, part.first_us) if part.num_rows else written_us
    part.num_rows += batch.num_rows
    part.has_former_columns |= any(batch[name].null_count < batch.num_rows for name in table.former_names)


def kinds_of(name: str, table: Table) -> dict[str, str]:
    """The columns by which rows of a table are of different kinds, each with an expression of it that says how."""
    return {column: column for column in OF_ROW.get(name, table.key)} | dict(APART.get(name, {}))


def _span(frozen_us: Sequence[int]) -> str:
    """SQL that numbers the span of time between releases in which a row was written."""
    if not frozen_us:
        return "0"
    return f"if(written_us is null, -1, len(list_filter({sorted(frozen_us)}, lambda time_us: time_us < written_us)))"
